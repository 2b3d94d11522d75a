"""One file or store, on a disk, in a bucket or on a web server: found and opened."""

from __future__ import annotations

import io

import fsspec
import xarray as xr

from xlsm.errors import LSMError
from xlsm.pipeline.address import filesystem
from xlsm.pipeline.identity import version
from xlsm.pipeline.trust import refuse_objects

__all__ = ["FILES", "SMALL", "exists", "is_zarr", "open_file", "why_absent", "written"]

#: Up to this size (bytes) an input is read at once, and its values are checked before the run.
SMALL = 8_000_000
#: What marks a folder as a Zarr store.
MARKS = ("zarr.json", ".zgroup", ".zmetadata")
#: How the names of NetCDF files end.
FILES = (".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5")
WEB = ("http://", "https://")


def open_file(source: str) -> xr.Dataset:
    """Open a NetCDF file or a Zarr store; nothing large is read yet.

    Parameters
    ----------
    source : str
        Path or URL. A Zarr store on a web server must be consolidated.

    Returns
    -------
    Dataset
        Indexed lazily, and not by Dask; it can be pickled.

    Raises
    ------
    LSMError
        If it cannot be read, or would run code: see `xlsm.pipeline.trust.refuse_objects`.
    """
    stored = is_zarr(source) or source.rstrip("/").endswith(".zarr")
    if stored:
        refuse_objects(source)
    try:
        if stored:
            store: xr.Dataset = xr.open_zarr(source, chunks=None)
            return store
        return _from_web(source) if source.startswith(WEB) else xr.open_dataset(source)
    # a store, a file or a server can be broken in more ways than their libraries have errors for
    except (ValueError, OSError, KeyError, TypeError, RuntimeError) as error:
        kind = "a Zarr store" if stored else "a NetCDF file"
        raise LSMError(f"{source} cannot be read as {kind}: {error}") from error


def _from_web(url: str) -> xr.Dataset:
    """Open a NetCDF file of a web server: a small one whole, of a large one the parts needed."""
    files, path = filesystem(url)
    size = files.info(path).get("size")
    if size is not None and size <= SMALL:
        return xr.load_dataset(io.BytesIO(files.cat_file(path)))
    try:
        with fsspec.open(url).open() as file:
            file.seek(-1, io.SEEK_END)
            file.read(1)
    except (ValueError, TypeError, OSError) as error:
        raise LSMError(
            f"{url}: the server gives no parts of a file, and of a large one parts are read: "
            "download it first"
        ) from error
    return xr.open_dataset(url)


def exists(url: str) -> bool:
    """Tell whether there is something at a path or URL.

    Raises
    ------
    LSMError
        If that cannot be told: a package or credentials are missing, the server is out of reach.
    """
    files, path = filesystem(url)
    try:
        return bool(files.exists(path))
    except Exception as error:  # each file system has errors of its own
        raise LSMError(f"{url} cannot be reached: {error}") from error


def why_absent(url: str) -> str:
    """Say what a web server answered that does not give a file; of other places, nothing."""
    if not url.startswith(WEB):
        return ""
    files, path = filesystem(url)
    try:
        files.info(path)
    except OSError as error:
        return f" ({error.__cause__ or error})"
    return ""


def written(source: str) -> list[str]:
    """Tell when a file or store was written, as far as its place knows.

    Parameters
    ----------
    source : str
        Path or URL of what `open_file` opens.

    Returns
    -------
    list of str
        Of a Zarr store that of its metadata: chunks that are replaced alone do not show.
    """
    root = source.rstrip("/")
    if not is_zarr(source):
        return [version(source)]
    return [version(f"{root}/{mark}") for mark in MARKS if exists(f"{root}/{mark}")]


def is_zarr(url: str) -> bool:
    """Tell whether there is a Zarr store at a path or URL."""
    if url.partition("?")[0].endswith(FILES):
        return False  # some servers have an answer to every question
    return any(exists(f"{url.rstrip('/')}/{mark}") for mark in MARKS)
