"""The tests that need a cluster of Dask: its fixtures end with this folder."""
