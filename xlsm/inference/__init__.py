"""Parameter estimation in pure JAX: batch axes last, no xarray, no Dask."""
