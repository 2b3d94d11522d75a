"""Whether a Zarr store can be read without running anything that it brings.

A store names the codecs that unpack it, and one of them, ``pickle``, runs whatever its chunks say;
xarray decodes the first values of an array of objects when it opens the store. So the metadata are
looked at before anything is opened, and what is not known to unpack numbers and text is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from xlsm.errors import LSMError
from xlsm.pipeline.address import filesystem

__all__ = ["refuse_objects"]

#: What unpacks text: the only objects there may be.
TEXT = frozenset({"vlen-bytes", "vlen-utf8"})
#: Codecs of zarr and numcodecs that turn bytes into bytes or numbers, and do nothing else.
HARMLESS = TEXT | {
    "adler32",
    "astype",
    "base64",
    "bitround",
    "blosc",
    "bytes",
    "bz2",
    "crc32",
    "crc32c",
    "delta",
    "endian",
    "fixedscaleoffset",
    "fletcher32",
    "gzip",
    "jenkins_lookup3",
    "lz4",
    "lzma",
    "packbits",
    "pcodec",
    "quantize",
    "sharding_indexed",
    "shuffle",
    "transpose",
    "zfpy",
    "zlib",
    "zstd",
}

Document = Mapping[str, Any]


def refuse_objects(store: str, options: Mapping[str, Any] | None = None) -> None:
    """Refuse a store with arrays that may run code when they are read.

    Metadata are read, and no chunk; of arrays in groups inside the store those that its
    consolidated metadata name. What is no store passes: whoever opens it will say so.

    Parameters
    ----------
    store : str
        Path or URL.
    options : mapping, optional
        Options of the fsspec file system.

    Raises
    ------
    LSMError
        If an array holds Python objects other than text, or names a codec that is not known to
        be harmless; names the array.
    """
    for name, document in _arrays(store, options or {}):
        where = f"the array {name!r} of {store}" if name else store
        codecs = list(_codecs(document))
        for codec in codecs:
            if codec not in HARMLESS:
                raise LSMError(
                    f"{where} is unpacked by {codec!r}, which is not known to be harmless: a store "
                    "must not bring what is run when it is read. If you trust it, copy it with "
                    "xarray into one without: xr.open_zarr(...).drop_encoding().to_zarr(...)"
                )
        kind = document.get("dtype", document.get("data_type"))
        if _holds_objects(kind) and not TEXT & set(codecs):
            raise LSMError(
                f"{where} holds Python objects (dtype {kind!r}), which are not read: write it as "
                "numbers or text"
            )


def _arrays(store: str, options: Mapping[str, Any]) -> Iterator[tuple[str, Document]]:
    """Give the metadata of all arrays, by name, from where zarr takes them."""
    files, root = filesystem(store, options)
    root = root.rstrip("/")

    def read(key: str) -> Document:
        try:
            text = files.cat_file(f"{root}/{key}")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return {}
        try:
            found = json.loads(text)
        except ValueError as error:
            raise LSMError(f"{store}: {key} cannot be read: {error}") from error
        return found if isinstance(found, dict) else {}

    group = read("zarr.json")
    if group:
        inside = (group.get("consolidated_metadata") or {}).get("metadata")
        keys = {"": group} | (inside or {})
    else:
        inside = read(".zmetadata").get("metadata")
        keys = {"": read(".zarray")} | (inside or {})
    for key, document in keys.items():
        if "shape" in document:
            yield key.removesuffix("/.zarray"), document
    if inside is not None:
        return
    for child in _children(files, root):
        name = child.rstrip("/").rpartition("/")[2]
        for kind in ("zarr.json",) if group else (".zarray",):
            document = read(f"{name}/{kind}")
            if "shape" in document:
                yield name, document


def _children(files: Any, root: str) -> list[str]:
    """List what lies in a store; nothing where that cannot be done, and zarr cannot do it."""
    try:
        return [str(child) for child in files.ls(root, detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _codecs(document: Document) -> Iterator[str]:
    """Name all codecs of an array, those inside others too."""
    given = [
        *(document.get("filters") or ()),
        *(document.get("codecs") or ()),
        *(document.get("storage_transformers") or ()),
    ]
    if document.get("compressor"):
        given.append(document["compressor"])
    for codec in given:
        if isinstance(codec, str):
            yield codec.removeprefix("numcodecs.")
            continue
        yield str(codec.get("id", codec.get("name"))).removeprefix("numcodecs.")
        inner = codec.get("configuration") or {}
        for part in ("codecs", "index_codecs"):
            yield from _codecs({"codecs": inner.get(part)})


def _holds_objects(dtype: Any) -> bool:
    """Tell whether a data type of a document, or that of a field of it, is that of objects."""
    if isinstance(dtype, list):  # of fields: name, data type and perhaps shape
        return any(_holds_objects(field[1]) for field in dtype if len(field) > 1)
    if isinstance(dtype, Mapping):
        fields = (dtype.get("configuration") or {}).get("fields", [])
        return _holds_objects(dtype.get("name")) or _holds_objects(fields)
    return re.fullmatch(r"[|<>=]?(O\d*|object)", str(dtype)) is not None
