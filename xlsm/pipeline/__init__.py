"""The glue to Dask and Zarr: blocks of stations in and out of the kernels, results into stores."""
