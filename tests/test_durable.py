"""A run that is killed goes on where it was, and ends as if nothing had happened."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import durable_run
import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from distributed import Client, LocalCluster
from twins import twin

from xlsm.errors import DataNotFoundError, DimensionError, LSMError
from xlsm.pipeline import durable, engine, lease
from xlsm.pipeline.beside import FsspecBeside
from xlsm.pipeline.blueprint import MESSAGE
from xlsm.pipeline.checkup import forget, progress, verify

RUN = Path(durable_run.__file__)
STATIONS = 48
BLOCKS = STATIONS // durable_run.BLOCK
#: So slow that a run cannot be over before somebody looks.
SLOWLY = {"XLSM_TEST_PAUSE": "0.3"}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "out.zarr")


def lazy(log):
    return durable_run.lazy(STATIONS, str(log))


def expected():
    return lazy(os.devnull).compute()


def start(store, log, *, cluster=False, options="{}", env=None):
    """A run in a session of its own, so that all of it can be killed."""
    command = [sys.executable, str(RUN), store, str(log), str(STATIONS), options]
    return subprocess.Popen(
        [*command, "cluster"] if cluster else command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"XLSM_TEST_POISON": "nan"} | (env or {}),
    )


def finish(store, log, **how):
    """Run to the end."""
    run = start(store, log, **how)
    _, told = run.communicate(timeout=240)
    assert run.returncode == 0, told


def computed(log):
    """Which blocks were computed, in their order."""
    return [int(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []


def done(store):
    """Blocks that are committed."""
    group = zarr.open_group(store, mode="r")
    status = np.asarray(group["status"][...]).reshape(-1, durable_run.BLOCK)
    return set(np.flatnonzero((status != -1).all(axis=1)).tolist())


def leased(store, options=None):
    return lease.lease(FsspecBeside.of(store, options or {}, ".lease"), store)


def read(store, options=None):
    with xr.open_zarr(store, consolidated=False, storage_options=options) as ds:
        return ds.load()


def same(store, options=None):
    found = read(store, options)
    assert "xlsm_begun" not in found.attrs
    assert (found[MESSAGE] == "").all()
    xr.testing.assert_equal(found.drop_vars(MESSAGE), expected())


# ---------------------------------------------------------------- undisturbed


def test_it_writes_what_it_would_have_computed(store, log):
    lazy(log).lsm.to_zarr(store, resume=True)
    same(store)
    group = zarr.open_group(store, mode="r")
    assert group["status"].dtype == np.int8
    assert group["status"].fill_value == -1
    assert group["series"].chunks == (durable_run.BLOCK, durable_run.TIMES)
    assert group["series"].attrs["units"] == "K"
    assert sorted(computed(log)) == list(range(BLOCKS))
    assert not Path(f"{store}.lease").exists()


def test_what_is_done_is_not_done_again(store, log):
    lazy(log).lsm.to_zarr(store, resume=True)
    before = {path: path.stat().st_mtime_ns for path in Path(store).rglob("c/*")}
    lazy(log).lsm.to_zarr(store, resume=True)
    assert len(computed(log)) == BLOCKS
    assert before == {path: path.stat().st_mtime_ns for path in Path(store).rglob("c/*")}


def test_every_verb_can_be_written_so(tmp_path):
    """Batch dimensions of windows too; a simulation, which has no status, is given one."""
    ds = twin(5, hours=24)
    chunked = ds.chunk(station=2)
    est = chunked.lsm.estimate("albedo", observed={"LWup": 5.0}, window="12h")
    est.lsm.to_zarr(tmp_path / "est.zarr", resume=True)
    found = read(tmp_path / "est.zarr")
    xr.testing.assert_equal(found.drop_vars(MESSAGE), est.compute())
    known = {"albedo": 0.2, "thermal_conductivity": 0.9}
    for name in ("identifiability", "data_worth"):
        told = getattr(chunked.lsm, name)(known, observed={"LWup": 5.0})
        told.lsm.to_zarr(tmp_path / f"{name}.zarr", resume=True)
        found = read(tmp_path / f"{name}.zarr")
        assert (found.status == 0).all()
        assert "station" in found.status.dims
        xr.testing.assert_equal(found.drop_vars(["status", MESSAGE]), told.compute())
    sim = chunked.lsm.simulate({"albedo": 0.2}, depth=[0.05])
    sim.lsm.to_zarr(tmp_path / "sim.zarr", resume=True)
    found = read(tmp_path / "sim.zarr")
    assert (found.status == 0).all()
    assert found.status.dtype == np.int8
    xr.testing.assert_equal(found.drop_vars(["status", MESSAGE]), sim.compute())


# ---------------------------------------------------------------- ended (see test_faults.py)


def test_shares_of_a_region_that_an_earlier_run_has_left(store, log):
    """What is done of it stays, the rest is computed alone; a deadly station is flagged."""
    lazy(log).lsm.to_zarr(store, resume=True)
    ledger = zarr.open_group(store, mode="r+")["status"]
    ledger[21:24] = -1
    before = len(computed(log))
    lazy(log).lsm.to_zarr(store, resume=True)
    assert computed(log)[before:] == [5]
    same(store)


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_a_driver_that_is_asked_to_end(store, log, name):
    run = start(store, log, env=SLOWLY)
    while len(computed(log)) < 3 and run.poll() is None:
        time.sleep(0.005)
    os.kill(run.pid, getattr(signal, name))
    run.communicate(timeout=60)
    assert run.returncode != 0
    finish(store, log)
    same(store)


def test_a_commit_is_the_last_thing_that_is_written(store, log, monkeypatch):
    """A region whose numbers are there and whose status is not is computed again."""
    original = zarr.Array.__setitem__

    def stop_at_ledger(self, key, value):
        if self.path == durable.LEDGER:
            raise KeyboardInterrupt
        original(self, key, value)

    # one after the other: of threads some would go on
    with monkeypatch.context() as patch, dask.config.set(scheduler="sync"):
        patch.setattr(zarr.Array, "__setitem__", stop_at_ledger)
        with pytest.raises(KeyboardInterrupt):
            lazy(log).lsm.to_zarr(store, resume=True)
    assert progress(store) == {-1: STATIONS}
    lazy(log).lsm.to_zarr(store, resume=True)
    same(store)


def test_a_template_that_was_not_finished_is_made_again(store, log, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zarr.core.attributes.Attributes, "put", killed)  # before the plan is in it
        with pytest.raises(KeyboardInterrupt):
            lazy(log).lsm.to_zarr(store, resume=True)
    assert "xlsm_begun" in zarr.open_group(store, mode="r").attrs
    lazy(log).lsm.to_zarr(store, resume=True)
    same(store)


# ---------------------------------------------------------------- another plan, another driver


def test_another_plan_is_refused(store, log):
    lazy(log).lsm.to_zarr(store, resume=True)
    for other, says in (
        (durable_run.lazy(STATIONS + 4, str(log)), "size of station: 48 in the store, 52 now"),
        (lazy(log).chunk(station=8), "chunk size along station: 4 in the store, 8 now"),
        (lazy(log).assign_attrs(model="other"), "attribute model: none in the store, other now"),
        (
            lazy(log) + 1,
            r"variable status|the input \(another, or written anew\), or an option, that",
        ),
    ):
        with pytest.raises(LSMError, match=says):
            other.lsm.to_zarr(store, resume=True)
    same(store)


def test_what_is_no_run_is_left_alone(tmp_path, log):
    plain = tmp_path / "plain.zarr"
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(plain, consolidated=False)
    with pytest.raises(FileExistsError, match="no run that can be resumed, and is left as it is"):
        lazy(log).lsm.to_zarr(plain, resume=True)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="no Zarr store, and is left as it is"):
        lazy(log).lsm.to_zarr(folder, resume=True)
    assert (folder / "thesis.txt").read_text() == "precious"
    with pytest.raises(LSMError, match="needs what the next run can be given too"):
        lazy(log).lsm.to_zarr({}, resume=True)


def test_two_drivers(store, log, monkeypatch):
    with (
        leased(store),
        pytest.raises(LSMError, match=rf"process {os.getpid()} on .*, since 2"),
    ):
        lazy(log).lsm.to_zarr(store, resume=True)
    # one that nobody renews is taken over, of another machine after a while
    monkeypatch.setattr(lease, "SETTLE", 0.01)
    stale = {"token": "other", "host": "elsewhere", "pid": 1, "renewed": time.time() - 100}
    Path(f"{store}.lease").write_text(json.dumps(stale))
    lazy(log).lsm.to_zarr(store, resume=True)
    same(store)
    assert not Path(f"{store}.lease").exists()
    fresh = stale | {"renewed": time.time()}
    Path(f"{store}.lease").write_text(json.dumps(fresh))
    with pytest.raises(LSMError, match="process 1 on elsewhere"):
        lazy(log).lsm.to_zarr(store, resume=True)


def test_of_many_at_once_one_gets_the_lease(tmp_path):
    store, got, lost = str(tmp_path / "a.zarr"), [], []
    barrier = threading.Barrier(8)

    def attempt():
        barrier.wait()
        try:
            with leased(store):
                got.append(1)
                time.sleep(0.3)
        except LSMError:
            lost.append(1)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(lost)) == (1, 7)


class Unreliable:
    """A place whose answers may be lost, and that may fail."""

    def __init__(self):
        self.data, self.lose, self.fail = b"", 0, 0

    def create(self, data):
        if self.data:
            return False
        self.data, self.lose = data, self.lose - 1
        return self.lose < 0

    def read(self):
        if self.fail:
            self.fail -= 1
            raise ZeroDivisionError("an error of its own")
        return self.data

    def write(self, data):
        self.data = data

    def remove(self):
        self.data = b""


def test_a_lease_is_ours_though_the_answer_was_lost():
    place = Unreliable()
    place.lose = 1  # written; the client asks again, and is told that it is there
    with lease.lease(place, "out.zarr") as ours:
        assert json.loads(place.data)["token"] == ours.token
    assert place.data == b""


def test_a_lease_is_renewed_after_an_error(monkeypatch):
    monkeypatch.setattr(lease, "RENEWAL", 0.01)
    place = Unreliable()
    with lease.lease(place, "out.zarr") as ours:
        first, place.fail = json.loads(place.data)["renewed"], 3
        for _ in range(500):
            if json.loads(place.data)["renewed"] > first and not place.fail:
                break
            time.sleep(0.01)
        assert not ours.lost
        assert json.loads(place.data)["renewed"] > first
        # somebody who took it over is noticed
        place.write(json.dumps({"token": "theirs"}).encode())
        for _ in range(500):
            if ours.lost:
                break
            time.sleep(0.01)
        assert ours.lost
    assert json.loads(place.data)["token"] == "theirs"


# ---------------------------------------------------------------- damage


def test_a_block_that_cannot_be_computed_leaves_the_others(store, log, monkeypatch):
    monkeypatch.setenv("XLSM_TEST_FAULT", "3")
    says = r"1 regions of .* station 12 to 15: LSMError: this block cannot be computed"
    with pytest.raises(LSMError, match=says):
        lazy(log).lsm.to_zarr(store, resume=True)
    assert done(store) == set(range(BLOCKS)) - {3}
    monkeypatch.delenv("XLSM_TEST_FAULT")
    lazy(log).lsm.to_zarr(store, resume=True)
    same(store)


@pytest.mark.parametrize("station", [0, 13, 47])
def test_a_station_that_raises_is_flagged_and_its_message_kept(store, log, monkeypatch, station):
    monkeypatch.setenv("XLSM_TEST_POISON", str(station))
    lazy(log).lsm.to_zarr(store, resume=True)
    found, true = read(store), expected_without(station)
    assert found[MESSAGE].values[station] == "ValueError: this station cannot be computed"
    assert (found[MESSAGE] != "").sum() == 1
    xr.testing.assert_equal(found.drop_vars(MESSAGE), true)
    line = json.loads(Path(f"{store}.log.jsonl").read_text().splitlines()[1])
    assert line["event"] == "raised"
    assert line["station"] == f"station {station}: ValueError: this station cannot be computed"


def expected_without(station):
    found = expected()
    found.series[station] = found["mean"][station] = np.nan
    found.status[station] = 12
    return found


@pytest.mark.parametrize("fault", ["cut short", "a flipped bit", "gone"])
def test_damage_is_found_and_can_be_mended(store, log, fault):
    lazy(log).lsm.to_zarr(store, resume=True)
    chunk = Path(store) / "series" / "c" / "5" / "0"
    whole = chunk.read_bytes()
    if fault == "gone":
        chunk.unlink()
    elif fault == "cut short":
        chunk.write_bytes(whole[: len(whole) // 2])
    else:
        chunk.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        with pytest.raises(Exception, match="checksum do not match"):
            read(store)  # an error, not a number
    found = verify(store)
    assert [(one.variable, one.region[0]) for one in found] == [("series", slice(20, 24))]
    forget(store, found)
    assert progress(store)[-1] == durable_run.BLOCK
    lazy(log).lsm.to_zarr(store, resume=True)
    assert computed(log)[BLOCKS:] == [5]
    same(store)
    assert verify(store) == []


def test_a_run_that_only_fails_gives_up(store, log, monkeypatch):
    """It is nobody's fault, then, but the store's: of 50 blocks it does not try them all."""
    monkeypatch.setattr(durable, "HOPELESS", 5)
    many, original = durable_run.lazy(200, str(log)), zarr.storage.LocalStore.set

    async def failing(self, key, value):
        if key.startswith("series/c/"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        await original(self, key, value)

    with monkeypatch.context() as patch, dask.config.set(scheduler="sync"):
        patch.setattr(zarr.storage.LocalStore, "set", failing)
        with pytest.raises(
            LSMError, match=r"5 regions .* nothing was tried any more after so many"
        ):
            many.lsm.to_zarr(store, resume=True)
    assert len(computed(log)) == 5
    many.lsm.to_zarr(store, resume=True)
    assert -1 not in progress(store)


def test_leftovers_of_killed_writes_are_swept(store, log):
    lazy(log).lsm.to_zarr(store, resume=True)
    leftover = Path(store) / "series" / "c" / "0" / "0.123abc.partial"
    leftover.write_bytes(b"half")
    lazy(log).lsm.to_zarr(store, resume=True)
    assert not leftover.exists()


def test_progress_of_no_store(tmp_path):
    with pytest.raises(DataNotFoundError, match="there is no Zarr store"):
        progress(str(tmp_path / "none.zarr"))
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(LSMError, match="no variable 'status'"):
        verify(str(tmp_path / "empty.zarr"))


def test_a_cluster_without_workers(store, log, monkeypatch, caplog):
    """It is said, once, and the run goes on as soon as there is one."""
    monkeypatch.setattr(engine, "PATIENCE", 0.05)
    quiet = {"processes": False, "dashboard_address": None, "threads_per_worker": 1}
    with LocalCluster(n_workers=0, **quiet) as cluster, Client(cluster):
        run = threading.Thread(target=lambda: lazy(log).lsm.to_zarr(store, resume=True))
        run.start()
        try:
            while "no worker is left" not in caplog.text and run.is_alive():
                time.sleep(0.01)
            time.sleep(0.2)
            assert not computed(log)
        finally:
            cluster.scale(1)
        run.join(timeout=60)
    assert caplog.text.count("no worker is left") == 1
    same(store)


# ---------------------------------------------------------------- what fails


def test_a_disk_that_is_full(store, log, monkeypatch):
    """The block whose numbers found no room is not marked as done, and can be done later."""
    original = zarr.storage.LocalStore.set

    async def full(self, key, value):
        if key == "series/c/7/0":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await original(self, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(zarr.storage.LocalStore, "set", full)
        with pytest.raises(LSMError, match=r"station 28 to 31: OSError: .*No space left on device"):
            lazy(log).lsm.to_zarr(store, resume=True)
    assert done(store) == set(range(BLOCKS)) - {7}
    lazy(log).lsm.to_zarr(store, resume=True)
    same(store)


def test_an_input_that_disappears_whole(tmp_path, store, monkeypatch):
    """Its chunks read as fill values: none of that may count, and all is well when it is back."""
    source, moved = tmp_path / "in.zarr", tmp_path / "moved.zarr"
    given = xr.Dataset({"a": ("station", np.arange(1.0, STATIONS + 1))})
    given.to_zarr(source, consolidated=False, encoding={"a": {"chunks": (4,)}})

    def result():
        a = xr.open_zarr(source, consolidated=False).chunk(station=4).a
        return xr.Dataset({"double": 2 * a, "status": (a * 0).fillna(0).astype(np.int8)})

    original = zarr.Array.__setitem__

    def move_away(self, key, value):
        original(self, key, value)
        if self.path == durable.LEDGER and source.exists() and key[0].start == 8:
            source.rename(moved)

    with monkeypatch.context() as patch, dask.config.set(scheduler="sync"):
        patch.setattr(zarr.Array, "__setitem__", move_away)
        with pytest.raises(LSMError, match=r"in\.zarr.* has disappeared while it was read"):
            result().lsm.to_zarr(store, resume=True)
    assert progress(store) == {-1: STATIONS - 12, 0: 12}
    moved.rename(source)
    # the same call, though the folder was touched by the move
    result().lsm.to_zarr(store, resume=True)
    np.testing.assert_array_equal(read(store).double, 2 * given.a)


def test_an_input_that_disappears(tmp_path, store, log):
    """What was read is written; what cannot be read any more is named."""
    source = tmp_path / "in.zarr"
    given = xr.Dataset({"a": ("station", np.arange(float(STATIONS)))})
    given.to_zarr(source, consolidated=False, encoding={"a": {"chunks": (4,)}})

    def result():
        a = xr.open_zarr(source, consolidated=False).chunk(station=4).a
        return xr.Dataset({"double": 2 * a, "status": (a * 0).astype(np.int8)})

    shutil.move(source / "a" / "c" / "6", tmp_path / "kept")
    (source / "a" / "c" / "6").write_bytes(b"gone")
    with pytest.raises(LSMError, match="station 24 to 27"):
        result().lsm.to_zarr(store, resume=True)
    assert progress(store) == {-1: 4, 0: STATIONS - 4}
    shutil.move(tmp_path / "kept", source / "a" / "c" / "6")
    result().lsm.to_zarr(store, resume=True)
    np.testing.assert_array_equal(read(store).double, 2 * given.a)


def test_a_store_that_is_removed_and_made_anew_by_the_same_process(store, log):
    """What was opened of the old one is of no use for the new one, which has other chunks."""
    lazy(log).lsm.to_zarr(store, resume=True)
    shutil.rmtree(store)
    lazy(log).chunk(station=8).lsm.to_zarr(store, resume=True)
    assert done(store) == set(range(BLOCKS))
    other = lazy(log).chunk(station=16)
    with pytest.raises(LSMError, match="chunk size along station: 8 in the store, 16 now"):
        other.lsm.to_zarr(store, resume=True)
    other.lsm.to_zarr(store, resume=True, overwrite=True)
    same(store)
    assert zarr.open_group(store)["series"].chunks == (16, durable_run.TIMES)


def test_many_chunks_in_one_object(store, log):
    """Regions become shards; damage to one is found, and single stations are chunks."""
    lazy(log).lsm.to_zarr(store, resume=True, chunks={"station": 1})
    same(store)
    array = zarr.open_group(store, mode="r")["series"]
    assert (array.shards, array.chunks) == ((4, durable_run.TIMES), (1, durable_run.TIMES))
    assert verify(store) == []
    shard = Path(store, "series", "c", "2", "0")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    found = verify(store)
    assert [(one.variable, one.region[0]) for one in found] == [("series", slice(8, 12))]
    with pytest.raises(DimensionError, match="does not divide a region, which has 4"):
        lazy(log).lsm.to_zarr(f"{store}-other", resume=True, chunks={"station": 3})
    with pytest.raises(DimensionError, match="'member' is no dimension of stations"):
        lazy(log).lsm.to_zarr(f"{store}-other", resume=True, chunks={"member": 1})
    assert not Path(f"{store}-other").exists()


def test_a_tree(store, log):
    """As of draws: groups are regions, too; the ledger is where the status is."""
    ds = lazy(log)
    groups = {
        "posterior": ds[["series"]],
        "sample_stats": ds[["mean"]],
        "constant_data": ds[["status", "known"]],
    }
    tree = xr.DataTree.from_dict(groups)
    tree.lsm.to_zarr(store, resume=True)
    found = xr.open_datatree(store, engine="zarr").load()
    assert set(progress(store)) == {0, 1, 2}
    assert verify(store) == []
    for group in groups:
        there = found[group].to_dataset().drop_vars(MESSAGE, errors="ignore")
        xr.testing.assert_equal(there, tree[group].to_dataset().compute())


@pytest.mark.slow
def test_a_tree_of_samples(tmp_path):
    ds = twin(3, hours=24).chunk(station=1)
    drawn = ds.lsm.sample("albedo", observed={"LWup": 5.0}, draws=5, warmup=5, chains=2)
    drawn.lsm.to_zarr(tmp_path / "whole.zarr")
    drawn.lsm.to_zarr(tmp_path / "drawn.zarr", resume=True)
    whole, found = (
        xr.open_datatree(tmp_path / name, engine="zarr").load()
        for name in ("whole.zarr", "drawn.zarr")
    )
    assert progress(str(tmp_path / "drawn.zarr")) == {0: 3}
    assert verify(str(tmp_path / "drawn.zarr")) == []
    for group in ("posterior", "sample_stats"):
        xr.testing.assert_equal(found[group].to_dataset(), whole[group].to_dataset())
    xr.testing.assert_equal(
        found["constant_data"].to_dataset().drop_vars(MESSAGE),
        whole["constant_data"].to_dataset(),
    )


def test_a_store_of_an_older_version_opens(tmp_path, log):
    """It is read, counted, verified and mended like any other; only gone on with it is not."""
    old = tmp_path / "old.zarr"
    shutil.unpack_archive(Path(__file__).parent / "stores" / "estimate-0.1.0.zip", old)
    found = read(str(old))
    assert found.sizes["station"] == 4
    assert np.isfinite(found.albedo).all()
    assert progress(str(old)) == {0: 1, 1: 3}
    assert verify(str(old)) == []
    (old / "albedo" / "c" / "1").unlink()
    damage = verify(str(old))
    assert [(one.variable, one.what) for one in damage] == [("albedo", "is not there")]
    forget(str(old), damage)
    assert progress(str(old))[-1] == 2
    with pytest.raises(LSMError, match=r"version of xlsm: 0\.1\.0 in the store"):
        lazy(log).lsm.to_zarr(old, resume=True)


def test_what_a_place_lacks_is_named(monkeypatch):
    """Whatever asks first, and whether or not there is anything."""
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LSMError, match=r"az://b/out.zarr cannot be opened: .*account_name"):
        progress("az://b/out.zarr")

    def without_package(url, **options):
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", without_package)
    with pytest.raises(LSMError, match=r"gcsfs.*xlsm\[cloud\]"):
        progress("gs://b/out.zarr")
