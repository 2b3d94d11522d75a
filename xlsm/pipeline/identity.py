"""What an input is known by, in every process and until it is written anew.

Dask gives an array the name of a digest of all that goes into it, and a plan compares these names.
Of a store in a bucket that name says where it lies, not what lies there.
"""

from __future__ import annotations

from typing import Any

from dask.base import normalize_token
from zarr.storage import ObjectStore

from xlsm.pipeline.address import filesystem

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


def _by_name(store: Any) -> tuple[str, str]:
    return "ObjectStore", str(store)


# its own digest is another one every time: that of a map of Rust's, whose order is random
normalize_token.register(ObjectStore, _by_name)  # type: ignore[no-untyped-call]
