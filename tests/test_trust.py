"""A store that would run something when it is read is refused before it does."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr

from xlsm import store
from xlsm.errors import LSMError
from xlsm.pipeline.trust import refuse_objects

PICKLE = {"id": "pickle", "protocol": 5}
TEXT = {"id": "vlen-utf8"}
DELTA = {"id": "delta", "dtype": "<f8"}
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def v2(path: Path, marker: Path, *, consolidated: bool = False, **options: Any) -> str:
    """Make a store of format 2 whose only chunk is a pickle that leaves a marker."""
    array = {
        "zarr_format": 2,
        "shape": [1],
        "chunks": [1],
        "order": "C",
        "dtype": "|O",
        "fill_value": None,
        "filters": None,
        "compressor": None,
    } | options
    documents = {
        ".zgroup": {"zarr_format": 2},
        "x/.zarray": array,
        "x/.zattrs": {"_ARRAY_DIMENSIONS": ["n"]},
    }
    (path / "x").mkdir(parents=True)
    (path / "x" / "0").write_bytes(pickle.dumps(Touch(marker)))
    for name, document in documents.items():
        (path / name).write_text(json.dumps(document))
    if consolidated:
        (path / ".zmetadata").write_text(
            json.dumps({"zarr_consolidated_format": 1, "metadata": documents})
        )
    return str(path)


def v3(path: Path, *, consolidated: bool = False, **options: Any) -> str:
    array = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [1],
        "data_type": "float64",
        "fill_value": 0.0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [BYTES],
        "dimension_names": ["n"],
        "attributes": {},
    } | options
    group: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    if consolidated:
        group["consolidated_metadata"] = {
            "kind": "inline",
            "must_understand": False,
            "metadata": {"x": array},
        }
    (path / "x").mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps(group))
    (path / "x" / "zarr.json").write_text(json.dumps(array))
    return str(path)


@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"filters": [PICKLE]}, "unpacked by 'pickle'"),
        ({"filters": [TEXT, PICKLE], "fill_value": ""}, "unpacked by 'pickle'"),
        ({"filters": [TEXT], "compressor": PICKLE, "fill_value": ""}, "unpacked by 'pickle'"),
        ({"dtype": "<f8", "filters": [DELTA], "compressor": PICKLE}, "unpacked by 'pickle'"),
        ({"dtype": "<f8", "filters": [{"id": "my-own"}]}, "unpacked by 'my-own'"),
        ({"filters": None}, "holds Python objects"),
        ({"dtype": [["a", "<f8"], ["b", "|O"]]}, "holds Python objects"),
    ],
)
def test_format_2(tmp_path: Path, options: Any, what: str, consolidated: bool) -> None:
    path = v2(tmp_path / "bad.zarr", tmp_path / "marker", consolidated=consolidated, **options)
    for look in (refuse_objects, store.open_input):
        with pytest.raises(LSMError, match=rf"the array 'x' of .*bad\.zarr (is )?{what}"):
            look(path)
    assert not (tmp_path / "marker").exists()


def test_what_is_refused_would_have_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check does not rest on numcodecs and zarr, whose late versions refuse by themselves."""
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    allowed = zarr.config.set({"array.allow_unsafe_pickle_decode": True})
    options: Any = {"filters": [TEXT, PICKLE], "fill_value": ""}
    path = v2(tmp_path / "bad.zarr", tmp_path / "marker", **options)
    with pytest.raises(LSMError, match="pickle"):
        store.open_input(path)
    assert not (tmp_path / "marker").exists()
    with allowed, contextlib.suppress(Exception):  # what comes out is no text
        xr.open_zarr(path, consolidated=False)
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"codecs": [BYTES, {"name": "numcodecs.pickle"}]}, "unpacked by 'pickle'"),
        ({"codecs": [BYTES, "pickle"]}, "unpacked by 'pickle'"),
        ({"storage_transformers": [{"name": "strange"}]}, "unpacked by 'strange'"),
        (
            {"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": ["pickle"]}}]},
            "unpacked by 'pickle'",
        ),
        ({"data_type": "object"}, "holds Python objects"),
    ],
)
def test_format_3(tmp_path: Path, options: Any, what: str, consolidated: bool) -> None:
    path = v3(tmp_path / "bad.zarr", consolidated=consolidated, **options)
    for look in (refuse_objects, store.open_input):
        with pytest.raises(LSMError, match=rf"the array 'x' of .*bad\.zarr (is )?{what}"):
            look(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated")
def test_numbers_text_and_times_are_let_through(
    tmp_path: Path, zarr_format: Any, consolidated: bool
) -> None:
    ds = xr.Dataset(
        {"Ozone": ("time", np.arange(3.0)), "code": ("time", np.array(["a", "bc", ""], object))},
        {"time": np.arange(3).astype("M8[h]").astype("M8[ns]")},
    )
    path = str(tmp_path / "good.zarr")
    ds.to_zarr(path, zarr_format=zarr_format, consolidated=consolidated)
    refuse_objects(path)
    xr.testing.assert_equal(store.open_input(path).load(), ds)
    structured: Any = [["Ozone", "<f8"], ["Object", "<i4"]]
    refuse_objects(v2(tmp_path / "s.zarr", tmp_path / "marker", dtype=structured))


def test_what_is_no_store_is_not_its_concern(tmp_path: Path) -> None:
    refuse_objects(str(tmp_path / "none.zarr"))
    refuse_objects(str(tmp_path))
    (tmp_path / "zarr.json").write_text("{")
    with pytest.raises(LSMError, match=r"zarr\.json cannot be read"):
        refuse_objects(str(tmp_path))
