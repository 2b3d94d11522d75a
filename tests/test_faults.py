"""Every kind of place, and everything that can go wrong with it: nothing is lost, or wrong."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback

import dask
import durable_run
import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr
from distributed import Client
from faulty_s3 import before
from somewhere import (
    BLOCKS,
    KEY,
    RUN,
    SECRET,
    STATIONS,
    computed,
    events,
    expected,
    finish,
    in_s3,
    is_mended,
    killed_and_resumed,
    on_disk,
    s3_files,
    start,
    takes_one_driver_at_a_time,
)

from xlsm.errors import LSMError
from xlsm.pipeline.blueprint import MESSAGE
from xlsm.pipeline.checkup import Damage, forget, progress, verify

KINDS = ("local", "s3", "obstore", "icechunk")


@pytest.fixture
def somewhere(request, tmp_path, s3):
    s3_files(s3).mkdir("results")
    return on_disk(tmp_path) if request.param == "local" else in_s3(request.param, s3)


everywhere = pytest.mark.parametrize("somewhere", KINDS, indirect=True)
in_buckets = pytest.mark.parametrize("kind", KINDS[1:])


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


# ---------------------------------------------------------------- kills


@pytest.mark.parametrize("somewhere", ["local", "icechunk"], indirect=True)
def test_a_driver_that_is_killed(somewhere, log):
    assert killed_and_resumed(somewhere, log, ["threads"]) == 1


@pytest.mark.slow
@everywhere
def test_many_kills(somewhere, log):
    """Of drivers, workers, both: twenty-five a place, a hundred in all; SIGTERM among them."""
    somewhere.stations = 240
    ways = ["driver", *["threads"] * 6, "asked", "all", *["threads"] * 7, "all"]
    assert killed_and_resumed(somewhere, log, ways, workers=5, seed=1) >= 25


@pytest.mark.slow
@everywhere
def test_a_scheduler_that_is_lost(somewhere, log, tmp_path):
    """The driver ends by itself and says so; the run goes on elsewhere."""
    where = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    folder = ["--local-directory", str(tmp_path / "scratch")]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(where)],
        **quiet,
    )
    worker = subprocess.Popen(
        [*dask, "worker", "--scheduler-file", str(where), "--nthreads", "1", *folder],
        **quiet,
        start_new_session=True,
        env=os.environ | {"XLSM_TEST_PAUSE": "0.3", "PYTHONPATH": str(RUN.parent)},
    )
    try:
        for _ in range(300):
            if where.exists() and where.read_text().strip():
                break
            time.sleep(0.1)
        address = json.loads(where.read_text())["address"]
        with Client(address) as client:
            client.wait_for_workers(1, timeout=60)
        run = start(somewhere, log, address)
        while run.poll() is None and len(computed(log)) < 3:
            time.sleep(0.01)
        scheduler.kill()
        _, told = run.communicate(timeout=90)
        assert run.returncode == 1, told
        assert "scheduler" in told.splitlines()[-1]
        assert "goes on" in told.splitlines()[-1]
    finally:
        scheduler.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        scheduler.wait()
    finish(somewhere, log)
    somewhere.is_whole()


@pytest.mark.slow
@everywhere
def test_a_worker_that_takes_too_much_memory(somewhere, log):
    """Its nanny ends it; the block is computed alone, where there is room for it."""
    finish(somewhere, log, "small", XLSM_TEST_HUNGRY="22")
    somewhere.is_whole()
    assert computed(log).count(5) == 4  # by two workers, and then in two shares
    if not somewhere.transactional:  # whose history is its log
        assert [e["region"] for e in events(somewhere, "killed")] == ["station 20 to 23"]


@pytest.mark.slow
def test_a_station_that_kills_its_worker(tmp_path, log):
    """As the kernel ends who takes all memory: found in smaller and smaller shares, and flagged."""
    somewhere = on_disk(tmp_path)
    finish(somewhere, log, "cluster", XLSM_TEST_DEADLY="22")
    assert computed(log).count(5) < 20  # tried again, not for ever
    is_whole_without(somewhere, 22)
    assert [e["region"] for e in events(somewhere, "killed")] == ["station 20 to 23"]
    assert [e["station"][:10] for e in events(somewhere, "raised")] == ["station 22"]


@pytest.mark.slow
@everywhere
def test_shares_of_a_region(somewhere, log, monkeypatch):
    """What a run has left that was ended as it looked for the station that kills."""
    somewhere.write(log)
    place = somewhere.place()
    zarr.open_group(place.store(read_only=False), mode="r+")["status"][21:24] = -1
    place.commit([], "some are not done")
    with monkeypatch.context() as patch:
        patch.setenv("XLSM_TEST_DEADLY", "22")
        somewhere.write(log)
    assert computed(log)[BLOCKS:] == [5] * 5  # three, one, two, and these one by one
    is_whole_without(somewhere, 22)
    assert verify(*somewhere.where) == []


def is_whole_without(somewhere, station):
    """All is right but for one station, which has killed whoever computed it."""
    found, others = somewhere.read(), np.arange(STATIONS) != station
    assert found.status.values[station] == 12
    told = str(found[MESSAGE].values[station])
    assert re.fullmatch("the process that computed it died .*signal 9.*", told)
    assert np.isnan(found.series.values[station]).all()
    xr.testing.assert_equal(
        found.drop_vars(MESSAGE).isel(station=others), expected(STATIONS).isel(station=others)
    )


# ---------------------------------------------------------------- stores that fail


@pytest.mark.parametrize(
    ("kind", "kind_of_fault"),
    [
        pytest.param(kind, fault, marks=() if fault == quick else pytest.mark.slow)
        for kind, quick in (("s3", ""), ("obstore", "reset"), ("icechunk", 500))
        for fault in (500, 503, "reset", "slow")
        if (kind, fault) != ("icechunk", "slow")  # its client waits for as long as it takes
    ],
)
def test_a_store_that_fails_for_a_while(s3, tmp_path, log, kind, kind_of_fault):
    """Its client tries again, and nobody has to know."""
    s3_files(s3).mkdir("results")
    with before(s3) as (endpoint, faults):
        somewhere = in_s3(kind, endpoint, patience=1)
        pattern = "/chunks/" if kind == "icechunk" else "/c/"
        faults.set(kind_of_fault, 2, pattern)
        somewhere.write(log)
        assert faults.met == 2
        somewhere.is_whole()


@pytest.mark.parametrize("somewhere", ["icechunk"], indirect=True)
def test_a_commit_whose_answer_is_lost(somewhere, log, monkeypatch):
    """The client tries again and finds a conflict: with what it has written itself."""
    commit, lost = icechunk.Session.commit, []

    def without_answer(self, message, **options):
        made = commit(self, message, **options)
        if message != "lease":
            lost.append(made)
            raise icechunk.ConflictError(made, made)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(icechunk.Session, "commit", without_answer)
        somewhere.write(log)
    assert len(lost) > 1
    somewhere.is_whole()

    def somebody_else(self, message, **options):
        if message == "lease":
            return commit(self, message, **options)
        raise icechunk.ConflictError("theirs", "ours")

    forget(somewhere.where[0], [Damage("series", (slice(0, 4),), "")], somewhere.where[1])
    monkeypatch.setattr(icechunk.Session, "commit", somebody_else)
    with pytest.raises(LSMError, match="somebody else"):
        somewhere.write(log)


@in_buckets
def test_a_store_that_fails_for_good(s3, tmp_path, log, kind, caplog):
    """The run ends and says what is missing; once the store is well it goes on."""
    s3_files(s3).mkdir("results")
    with before(s3) as (endpoint, faults):
        somewhere = in_s3(kind, endpoint)
        faults.set(403, None, "/chunks/" if kind == "icechunk" else "/series/c/7/")
        with pytest.raises(LSMError) as told:
            somewhere.write(log)
        said = str(told.value)
        assert re.search(r"station 28 to 31|station \d+ to \d+: (Icechunk|Storage)Error", said), (
            said
        )
        assert re.search("[Rr]un it again", said), said
        assert "MARKED" not in said + caplog.text
        if kind != "icechunk":  # at once, and with the key in the answer, as some servers do
            faults.set(403, None, "", answer=f"<Error><Id>{KEY}</Id></Error>".encode())
            with pytest.raises(LSMError, match=r"[Rr]un it again") as told:
                somewhere.write(log)
            shown = "".join(traceback.format_exception(told.value))
            assert KEY not in shown
            assert SECRET not in shown
        faults.clear()
        somewhere.write(log)
        somewhere.is_whole()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["path", "URL", "obstore", "icechunk"])
def test_a_disk_without_room(tmp_path, log, kind):
    """Whatever writes to it: the run ends and says so, and goes on once there is room."""
    somewhere = on_disk(tmp_path)
    somewhere.url = {
        "path": f"{tmp_path}/out.zarr",
        "URL": f"file://{tmp_path}/out.zarr",
        "obstore": f"obstore+file://{tmp_path}/out.zarr",
        "icechunk": f"icechunk://{tmp_path}/out",
    }[kind]
    run = start(somewhere, log, XLSM_TEST_ROOM="7")
    _, told = run.communicate(timeout=240)
    assert run.returncode == 1, told
    last = next(line for line in told.splitlines() if "LSMError: " in line)
    assert "File too large" in last
    assert re.search("[Rr]un it again", last)
    assert 7 not in somewhere.done()
    finish(somewhere, log)
    found = somewhere.read()
    xr.testing.assert_equal(found.drop_vars(MESSAGE), expected(STATIONS))
    assert verify(*somewhere.where) == []


@in_buckets
def test_an_input_that_disappears(s3, tmp_path, kind, monkeypatch):
    """Its chunks read as fill values: none of that may count, and all is well when it is back."""
    files = s3_files(s3)
    files.mkdir("results")
    source = in_s3(kind, s3)
    count = 4 * durable_run.BLOCK
    # so many numbers that Icechunk keeps them in chunks, and not among its metadata
    numbers = np.random.default_rng(0).random((count, 50))
    given = xr.Dataset({"a": (("station", "time"), numbers)})
    place, chunks = source.place(), {"a": {"chunks": (durable_run.BLOCK, 50)}}
    given.to_zarr(place.store(read_only=False), consolidated=False, encoding=chunks)
    if kind == "icechunk":
        place.commit([], "given")
    kept = {path: files.cat_file(path) for path in files.find("results/runs")}
    original = zarr.Array.__setitem__

    def result():
        ds = xr.open_zarr(source.place().store(), consolidated=False).chunk(station=4)
        status = (ds.a[:, 0] * 0).fillna(0).astype(np.int8)
        return xr.Dataset({"double": 2 * ds.a, "status": status})

    def take_away(self, key, value):
        original(self, key, value)
        if self.path == "status" and key[0].start == durable_run.BLOCK:
            files.invalidate_cache()
            files.rm("results/runs", recursive=True)

    out = tmp_path / "out.zarr"
    with monkeypatch.context() as patch, dask.config.set(scheduler="sync"):
        patch.setattr(zarr.Array, "__setitem__", take_away)
        with pytest.raises(LSMError) as told:
            result().lsm.to_zarr(out, resume=True)
    assert "station 8 to 11" in str(told.value)
    assert "MARKED" not in str(told.value)
    assert progress(str(out)) == {-1: count - 8, 0: 8}
    for path, data in kept.items():
        files.pipe_file(path, data)
    result().lsm.to_zarr(out, resume=True)
    with xr.open_zarr(out) as found:
        np.testing.assert_array_equal(found.double, 2 * given.a)


@pytest.mark.parametrize(
    ("somewhere", "fault"),
    [
        pytest.param(kind, fault, marks=() if fault == quick else pytest.mark.slow)
        for kind, quick in zip(KINDS, ["flipped", "truncated"] * 2, strict=True)
        for fault in ("truncated", "flipped")
    ],
    indirect=["somewhere"],
)
def test_damage_is_found_and_mended(somewhere, log, fault):
    is_mended(somewhere, log, fault)


# ---------------------------------------------------------------- two drivers, secrets


@everywhere
def test_two_drivers(somewhere, log):
    takes_one_driver_at_a_time(somewhere, log)


@everywhere
def test_no_secret_anywhere(somewhere, log, monkeypatch):
    """Not in the plan, attributes, log, commits or errors."""
    monkeypatch.setenv("XLSM_TEST_POISON", "5")
    monkeypatch.setenv("XLSM_TEST_FAULT", "3")
    with pytest.raises(LSMError, match="station 12 to 15") as told:
        somewhere.write(log)
    assert "MARKED" not in str(told.value)
    with pytest.raises(LSMError) as told:
        durable_run.lazy(52, str(log)).lsm.to_zarr(**somewhere.target, resume=True)
    assert "MARKED" not in str(told.value)
    assert "MARKED" not in somewhere.place().name
    if somewhere.files is None:
        return
    somewhere.files.invalidate_cache()
    paths = somewhere.files.find("results/")
    assert paths
    for path in paths:
        assert b"MARKED" not in somewhere.files.cat_file(path), path
    if somewhere.transactional:
        history = list(somewhere.place().repo.ancestry(branch="main"))
        assert len(history) >= 3
        assert not any("MARKED" in f"{one.message}{one.metadata}" for one in history)
