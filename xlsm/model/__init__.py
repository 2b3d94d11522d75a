"""The land-surface model, in pure JAX: batch axes last, no xarray, no Dask."""
