"""Files and stores on web servers and in buckets: read as those on a disk, or a clear error."""

from __future__ import annotations

import functools
import http.server
import pickle
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.base
import fsspec
import obstore.store
import pytest
import xarray as xr
from zarr.storage import ObjectStore

import xlsm
from xlsm import reading, store
from xlsm.errors import DataNotFoundError, LSMError
from xlsm.pipeline.places import place_of

# aiohttp leaves its sessions to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """The server of the standard library, which gives whole files only."""

    def log_message(self, *_: Any) -> None:
        pass


class InParts(Quiet):
    """One that gives parts of files, as those in use do."""

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            return super().do_GET()
        first, last = (int(number) for number in wanted.groups())
        whole = path.read_bytes()
        part = whole[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None


@pytest.fixture(scope="module")
def network() -> xr.Dataset:
    return xlsm.tutorial.network(stations=3, days=1)


@pytest.fixture(scope="module")
def folder(network: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("www")
    network.to_netcdf(folder / "network.nc", engine="h5netcdf")
    for version in (2, 3):
        network.to_zarr(folder / f"v{version}.zarr", zarr_format=version)  # type: ignore[call-overload]
    (folder / "half.zarr").mkdir()
    (folder / "half.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "gro')
    (folder / "notes.nc").write_text("not NetCDF")
    return folder


@pytest.fixture(params=[Quiet, InParts])
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    handler = functools.partial(request.param, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["v2.zarr", "v3.zarr", "v3.zarr/", "network.nc"])
def test_a_web_server_is_read(server: str, network: xr.Dataset, name: str) -> None:
    ds = store.open_input(f"{server}/{name}", time="2024-06-01T06/")
    again = pickle.loads(pickle.dumps(ds))  # as it travels to workers
    xr.testing.assert_equal(again.load(), network.sel(time=slice("2024-06-01T06", None)))


@pytest.mark.parametrize("server", [InParts], indirect=True)
def test_of_a_large_file_parts_are_read(
    server: str, network: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SMALL", 0)
    ds = store.open_input(f"{server}/network.nc")
    assert not ds.Tair.variable._in_memory
    again = pickle.loads(pickle.dumps(ds))
    xr.testing.assert_equal(again.load(), network)


@pytest.mark.parametrize("server", [Quiet], indirect=True)
def test_a_large_file_of_a_server_without_parts_is_refused(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SMALL", 0)
    with pytest.raises(LSMError, match=r"network\.nc: the server gives no parts .* download it"):
        store.open_input(f"{server}/network.nc")


@pytest.mark.parametrize("server", [Quiet], indirect=True)
def test_what_a_web_server_does_not_have(server: str) -> None:
    for name in ("none.nc", "none.zarr", "none"):
        with pytest.raises(DataNotFoundError, match=rf"{server}/{name} \(404, .*not found"):
            store.open_input(f"{server}/{name}")
    with pytest.raises(DataNotFoundError, match=r"http://127\.0\.0\.1:9/a\.nc \(Cannot connect"):
        store.open_input("http://127.0.0.1:9/a.nc")
    with pytest.raises(LSMError, match=r"half\.zarr: zarr\.json cannot be read"):
        store.open_input(f"{server}/half.zarr")
    with pytest.raises(LSMError, match=r"notes\.nc cannot be read as a NetCDF file"):
        store.open_input(f"{server}/notes.nc")
    with pytest.raises(LSMError, match="nothing can be written to a web server"):
        store.check_output(f"{server}/out.zarr", overwrite=False)


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("s3://bucket/a.zarr", "s3fs"),
        ("gs://bucket/a.zarr", "gcsfs"),
        ("az://bucket/a.zarr", "adlfs"),
        ("https://data.org/a.nc", "aiohttp"),
    ],
)
def test_a_missing_package_is_named(
    url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = url.partition("://")[0]
    # as if fsspec had not been asked before, and the package were not there
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, kind, raising=False)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    words = rf'a package is missing that reads and writes {kind}://.*pip install "xlsm\[cloud\]"'
    with pytest.raises(LSMError, match=words):
        store.open_input(url)
    with pytest.raises(LSMError, match=r"nothing is known to read or write floppy://"):
        store.open_input("floppy://a.nc")


def test_a_bucket_is_read_as_a_disk(network: xr.Dataset, tmp_path: Path) -> None:
    network.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "a.nc"), "/test-reading/a.nc")
    try:
        network.to_zarr("memory://test-reading/a.zarr")
        for name in ("a.nc", "a.zarr"):
            ds = store.open_input(f"memory://test-reading/{name}")
            xr.testing.assert_equal(ds.load(), network)
    finally:
        memory.rm("/test-reading", recursive=True)


# ---------------------------------------------------------------------------- known again


@pytest.mark.parametrize("kind", ["file", "store", "bucket", "repository"])
def test_an_input_is_known_until_it_is_written_anew(
    network: xr.Dataset, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(store, "SMALL", 0)  # too large to be read at once
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    fsspec.filesystem("s3", endpoint_url=s3).mkdir("forcing")
    source = {
        "file": f"{tmp_path}/a.nc",
        "store": f"{tmp_path}/a.zarr",
        "bucket": "s3://forcing/a.zarr",
        "repository": f"icechunk://{tmp_path}/repository",
    }[kind]

    def write(ds: xr.Dataset) -> None:
        if kind == "file":
            ds.to_netcdf(source, engine="h5netcdf")
        elif kind == "repository":
            place = place_of(source)
            ds.to_zarr(place.store(read_only=False), mode="w", consolidated=False)
            place.commit((), "given")
        else:
            ds.to_zarr(source, mode="w")

    def name(rename: dict[str, str] | None = None, time: str | None = None) -> str:
        ds = store.chunk_stations(store.open_input(source, time, rename), {"station": 2}, 1)
        return str(ds.Tair.data.name)

    write(network)
    first = name()
    assert name() == first
    assert name(time="2012-05-02/") != first
    assert name(rename={"LWup": "up"}) != first
    write(network.assign(Tair=network.Tair + 1))
    assert name() != first
    ds = store.chunk_stations(store.open_input(source), {"station": 2}, 1)
    xr.testing.assert_equal(ds.Tair.compute(), network.Tair + 1)


def test_stores_of_obstore_are_known_again() -> None:
    """By themselves they are not: a bucket and its options come in another order every time."""

    def one(prefix: str, **more: str) -> ObjectStore:
        options = {"region": "us-east-1", "access_key_id": "K", "secret_access_key": "S"} | more
        return ObjectStore(obstore.store.S3Store("bucket", prefix=prefix, **options))

    names = {dask.base.tokenize(one("a")) for _ in range(20)}
    assert len(names) == 1
    assert dask.base.tokenize(one("a", session_token="T")) in names
    assert dask.base.tokenize(one("b")) not in names
    assert dask.base.tokenize(one("a", endpoint="https://elsewhere.org")) not in names
    # nothing but itself tells one of two in memory from the other
    first, second = (ObjectStore(obstore.store.MemoryStore()) for _ in range(2))
    assert dask.base.tokenize(first) != dask.base.tokenize(second)
