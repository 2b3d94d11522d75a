"""Google's and Microsoft's stores, each against a server on this machine.

That of Azure is Azurite, Microsoft's own, which is no Python package: ``npm install -g azurite``.
Without it its tests are skipped; `.ci/run` installs it.
"""

import base64
import contextlib
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import google_server
import pytest
import xarray as xr
from somewhere import (
    Somewhere,
    computed,
    expected,
    is_mended,
    killed_and_resumed,
    takes_one_driver_at_a_time,
)
from typer.testing import CliRunner

import xlsm
from xlsm.cli import app
from xlsm.errors import LSMError
from xlsm.pipeline.blueprint import MESSAGE
from xlsm.pipeline.transactions import repository_at
from xlsm.pipeline.write import consolidate

pytestmark = pytest.mark.slow

ACCOUNT, KEY = "someone", base64.b64encode(b"MARKEDKEY" * 4).decode()
PLACES = ("gs", "az", "obstore+az", "icechunk+az")


@contextlib.contextmanager
def running(command, port, **environment):
    """Run a server until it is asked on its port, and no longer than it is needed."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment or None, **silent) as server:
        try:
            for _ in range(300):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield
        finally:
            server.terminate()


@pytest.fixture
def port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def google(port, monkeypatch):
    """A bucket `results` of Google's."""
    # gcsfs would ask by another protocol, which the emulator does not speak, what kind it is of
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    with running([sys.executable, google_server.__file__, str(port)], port):
        files = fsspec.filesystem("gs", token="anon")
        yield Somewhere("gs://results/runs/out.zarr", {"token": "anon"}, files)


@pytest.fixture
def azure(port, monkeypatch):
    """A container `results` of Microsoft's; gives its file system and the address."""
    command = shutil.which("azurite-blob")
    if command is None:
        pytest.skip("azurite-blob is not installed: npm install -g azurite")
    address = f"http://127.0.0.1:{port}/{ACCOUNT}"
    where = ["--blobPort", str(port), "--inMemoryPersistence"]
    how = ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    environment = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}", "PATH": str(Path(command).parent)}
    environment["PATH"] += f":{Path(shutil.which('node')).parent}"
    told = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY}"
    options = {"connection_string": f"{told};BlobEndpoint={address};"}
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", options["connection_string"])
    with running([command, *where, *how], port, **environment):
        files = fsspec.filesystem("az", **options)
        files.mkdir("results")
        yield files, address


@pytest.fixture
def somewhere(request):
    if request.param == "gs":
        return request.getfixturevalue("google")
    files, address = request.getfixturevalue("azure")
    url = f"{request.param}://results/runs/out.zarr"
    options = {
        "az": files.storage_options,
        "obstore+az": {
            "account_name": ACCOUNT,
            "account_key": KEY,
            "endpoint": address,
            "client_options": {"allow_http": True},
        },
        "icechunk+az": {
            "account": ACCOUNT,
            "access_key": KEY,
            "config": {"azure_storage_endpoint": address, "azure_allow_http": "true"},
        },
    }[request.param]
    return Somewhere(url, options, files)


everywhere = pytest.mark.parametrize("somewhere", PLACES, indirect=True)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@everywhere
def test_a_run_is_killed_and_goes_on(somewhere, log):
    assert killed_and_resumed(somewhere, log, ["all", "threads"]) >= 2


@everywhere
def test_a_result_is_whole_and_keeps_no_secret(somewhere, log):
    somewhere.write(log)
    somewhere.is_whole()
    before = len(computed(log))
    somewhere.write(log)
    assert len(computed(log)) == before  # all was there
    somewhere.files.invalidate_cache()
    paths = somewhere.files.find("results/")
    assert paths
    for path in paths:
        told = somewhere.files.cat_file(path)
        assert KEY.encode() not in told
        assert b"MARKED" not in told
    assert KEY not in somewhere.place().name


@everywhere
def test_two_drivers(somewhere, log):
    takes_one_driver_at_a_time(somewhere, log)


@everywhere
def test_damage_is_found_and_mended(somewhere, log):
    is_mended(somewhere, log, "flipped")


@pytest.mark.parametrize("somewhere", ["gs", "az"], indirect=True)
def test_what_is_written_at_once_is_found_by_its_url(somewhere, log):
    """All variables are among the consolidated metadata, and nothing is left of what was there."""
    ds = expected(somewhere.stations)
    for resume in (False, True):
        ds.chunk(station=8).lsm.to_zarr(
            somewhere.url, storage_options=somewhere.options, resume=resume, overwrite=resume
        )
        with xr.open_zarr(somewhere.url, storage_options=somewhere.options) as found:
            xr.testing.assert_equal(found.load().drop_vars(MESSAGE, errors="ignore"), ds)


@pytest.mark.parametrize("kind", ["gs", "az"])
def test_the_command_line_reads_and_writes(kind, request):
    """Who may is told by the environment."""
    request.getfixturevalue("google" if kind == "gs" else "azure")
    network = f"{kind}://results/network.zarr"
    xlsm.tutorial.network(stations=3, days=2).to_zarr(network, consolidated=False)
    consolidate(network, None)
    found = f"{kind}://results/found.zarr"
    command = ["estimate", network, found, "--free", "albedo", "--resume"]
    for arguments in (command, command, ["status", found], ["verify", found]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    with xr.open_zarr(found) as est:
        assert (est.status == 0).all()


def test_an_account_is_asked_for(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(LSMError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        repository_at("icechunk+az://results/runs/out", {})
