"""Paths and URLs: which file system they belong to, or what to install for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec

from xlsm.errors import LSMError

__all__ = ["filesystem"]


def filesystem(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Give the fsspec file system of a path or URL, and the path in it.

    Parameters
    ----------
    url : str
        Such as ``sites``, ``s3://bucket/sites``, ``https://data.org/sites.zarr``.
    options : mapping, optional
        Options of the file system.

    Returns
    -------
    file_system : fsspec.AbstractFileSystem
    path : str

    Raises
    ------
    LSMError
        If a package or an option is missing, or nothing knows URLs of that kind.

    Examples
    --------
    >>> filesystem("memory://sites/a.nc")[1]
    '/sites/a.nc'
    >>> filesystem("floppy://a.nc")
    Traceback (most recent call last):
    ...
    xlsm.errors.LSMError: floppy://a.nc: nothing is known to read or write floppy:// ...
    """
    kind = url.partition("://")[0]
    try:
        files, path = fsspec.core.url_to_fs(url, **(options or {}))
    except ImportError as error:
        raise LSMError(
            f"{url}: a package is missing that reads and writes {kind}:// ({error}). "
            'It comes with pip install "xlsm[cloud]"'
        ) from error
    except ValueError as error:
        if kind in fsspec.available_protocols():  # an account, perhaps, that nobody has told
            raise LSMError(f"{url} cannot be opened: {error}") from error
        raise LSMError(
            f"{url}: nothing is known to read or write {kind}:// ({error}). s3://, gs://, az:// "
            "and https:// are, and paths"
        ) from error
    return files, str(path)
