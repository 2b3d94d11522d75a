"""What an input is known by, in every process and until it is written anew.

Dask gives an array the name of a digest of all that goes into it, and a plan compares these names.
Of a store in a bucket that name says where it lies, not what lies there.
"""

from __future__ import annotations

from typing import Any

from dask.base import normalize_token
from zarr.storage import ObjectStore

from xlsm.pipeline.address import filesystem
from xlsm.pipeline.places import SECRET

__all__ = ["version"]

#: What file systems tell of a file that changes when it is written.
SIGNS = ("size", "mtime", "ETag", "LastModified", "Last-Modified", "etag", "md5Hash", "updated")


def version(url: str) -> str:
    """Tell by which one knows a file after it was written anew.

    Parameters
    ----------
    url : str
        Of a file; of a Zarr store that of its metadata, which are written with it.

    Returns
    -------
    str
        Its size and the time it was written, or the tag a bucket gives it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import fsspec
    >>> fsspec.filesystem("memory").pipe_file("/a.nc", b"data")
    >>> version("memory://a.nc")
    '4,,,,,,,'
    """
    files, path = filesystem(url)
    found = files.info(path)
    return ",".join(str(found.get(sign, "")) for sign in SIGNS)


def _identity(store: Any) -> tuple[Any, ...]:
    """Say where a store lies; of who may open it, which changes, nothing."""
    inner = store.store
    told = getattr(inner, "config", None)
    if told is None:  # a folder is known by its path, what is in memory only by itself
        return "ObjectStore", str(getattr(inner, "prefix", None) or id(inner))
    where = {name: str(value) for name, value in told.items()}
    plain = sorted(item for item in where.items() if not any(word in item[0] for word in SECRET))
    return "ObjectStore", type(inner).__name__, str(inner.prefix), plain


# its own digest is another one every time: that of a map of Rust's, whose order is random
normalize_token.register(ObjectStore, _identity)  # type: ignore[no-untyped-call]
