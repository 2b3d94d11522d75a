"""A place for results wherever it may lie, runs that write there, and how they are killed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import durable_run
import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr

from xlsm.errors import LSMError
from xlsm.pipeline.blueprint import MESSAGE
from xlsm.pipeline.checkup import forget, progress, verify
from xlsm.pipeline.places import place_of

RUN = Path(durable_run.__file__)
STATIONS = 48
BLOCKS = STATIONS // durable_run.BLOCK
KEY, SECRET = "MARKEDKEY", "MARKEDSECRET"


class Somewhere:
    """A place for results, as a run in another process is told of it, and as we look at it.

    `files` is the file system of its bucket, None on a disk; `endpoint` the address of its server.
    """

    def __init__(self, url, options=None, files=None, endpoint=""):
        self.url, self.options, self.files, self.endpoint = url, options or {}, files, endpoint
        self.stations = STATIONS

    @property
    def transactional(self):
        return self.url.startswith("icechunk")

    @property
    def target(self):
        return durable_run.opened(self.url, self.options or None)

    @property
    def where(self):
        return self.target["store"], self.target.get("storage_options")

    def place(self):
        return place_of(*self.where)

    def write(self, log):
        durable_run.lazy(self.stations, str(log)).lsm.to_zarr(**self.target, resume=True)

    def read(self):
        with xr.open_zarr(self.place().store(), consolidated=False) as ds:
            return ds.load()

    def is_whole(self):
        found = self.read()
        xr.testing.assert_equal(found.drop_vars(MESSAGE), expected(self.stations))
        assert verify(*self.where) == []
        if self.files is None:
            assert not list(Path(self.url).rglob("*.partial"))
        assert (found[MESSAGE] == "").all()

    def done(self):
        """Blocks whose commit can be read."""
        try:
            ledger = zarr.open_group(self.place().store(), mode="r")["status"]
        except (FileNotFoundError, KeyError):
            return set()
        status = np.asarray(ledger[...]).reshape(-1, durable_run.BLOCK)
        return set(np.flatnonzero((status != -1).all(axis=1)).tolist())

    def chunks(self):
        """Paths of the objects that hold chunks of `series`."""
        if self.files is None:
            return sorted(str(path) for path in Path(self.url, "series", "c").rglob("0"))
        self.files.invalidate_cache()
        found = self.files.find("results/runs/")
        part = "/chunks/" if self.transactional else "/series/c/"
        return sorted(path for path in found if part in path)

    def spoil(self, path, fault):
        files = self.files or fsspec.filesystem("file")
        whole = files.cat_file(path)
        half = len(whole) // 2
        flipped = whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]
        files.pipe_file(path, whole[:half] if fault == "truncated" else flipped)


def in_s3(kind, endpoint, patience=5):
    """In the bucket `results` of an S3 server, by one of its clients."""
    common = {"region": "us-east-1", "access_key_id": KEY, "secret_access_key": SECRET}
    url, options = {
        "s3": (
            "s3://results/runs/out.zarr",
            {
                "key": KEY,
                "secret": SECRET,
                "endpoint_url": endpoint,
                "config_kwargs": {"read_timeout": patience, "retries": {"max_attempts": 3}},
            },
        ),
        "obstore": (
            "obstore+s3://results/runs/out.zarr",
            {
                **common,
                "endpoint": endpoint,
                "client_options": {"allow_http": True, "timeout": f"{patience}s"},
            },
        ),
        "icechunk": (
            "icechunk+s3://results/runs/out",
            {**common, "endpoint_url": endpoint, "allow_http": True, "force_path_style": True},
        ),
    }[kind]
    return Somewhere(url, options, s3_files(endpoint), endpoint)


def s3_files(endpoint):
    return fsspec.filesystem("s3", key=KEY, secret=SECRET, endpoint_url=endpoint)


def on_disk(folder):
    return Somewhere(f"{folder}/out.zarr")


def expected(stations):
    return durable_run.lazy(stations, os.devnull).compute()


def computed(log):
    return [int(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []


def start(somewhere, log, cluster="", **env):
    told = (str(log), str(somewhere.stations), json.dumps(somewhere.options), cluster)
    command = [sys.executable, str(RUN), somewhere.url, *told]
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"XLSM_TEST_PAUSE": "0.05"} | env,
    )


def finish(somewhere, log, cluster="", **env):
    run = start(somewhere, log, cluster, **env)
    _, told = run.communicate(timeout=240)
    assert run.returncode == 0, told


def events(somewhere, kind):
    """Those of one kind in the log beside the store."""
    lines = somewhere.place().log().read().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


class Reader(threading.Thread):
    """Somebody who looks all the while: what is marked as done must be right.

    Each look is at all that is new since the last one, and at some of what was right then.
    """

    def __init__(self, somewhere):
        super().__init__(daemon=True)
        self.somewhere, self.looks, self.wrong, self.end = somewhere, 0, [], threading.Event()

    def run(self):
        true = expected(self.somewhere.stations)
        known = np.zeros(self.somewhere.stations // durable_run.BLOCK, bool)
        random = np.random.default_rng(0)
        while not self.end.wait(1.0):
            try:
                group = zarr.open_group(self.somewhere.place().store(), mode="r")
                done = np.asarray(group["status"][...]) != -1
            except (FileNotFoundError, KeyError):
                continue  # not made yet
            self.looks += 1
            there = done.reshape(known.size, -1).any(axis=1)
            for i in np.flatnonzero(there & (~known | (random.random(known.size) < 0.1))):
                part = slice(i * durable_run.BLOCK, (i + 1) * durable_run.BLOCK)
                for name in ("series", "mean"):
                    found, right = np.asarray(group[name][part]), true[name].values[part]
                    if not np.array_equal(found[done[part]], right[done[part]]):
                        self.wrong.append((name, i))
            known |= there


def members(group):
    """Drivers and workers of a process group that live; helpers of Python's own are none."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            told = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_text()
            if int(told[2]) == group and told[0] != "Z" and "resource_tracker" not in command:
                found.append(int(path.name))
    return found


def killed_and_resumed(somewhere, log, ways, workers=0, seed=0):
    """End it in each of these ways at random moments, then let it go on to its end.

    In the last run so many of its workers are killed. Gives how many processes died by SIGKILL.
    """
    moments, reader = random.Random(seed), Reader(somewhere)
    reader.start()
    began, committed, again, deaths = 0, set(), set(), 0
    for way in ways:
        run = start(somewhere, log, "" if way in ("threads", "asked") else "cluster")
        aim = len(computed(log)) + moments.randrange(1, 3)
        while run.poll() is None and len(computed(log)) < aim:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))
        again |= set(computed(log)[began:]) & committed
        alive = members(run.pid) if run.poll() is None else []
        with contextlib.suppress(ProcessLookupError):  # it may have ended this moment
            if way == "asked":
                os.kill(run.pid, signal.SIGTERM)
            elif way == "driver":
                os.kill(run.pid, signal.SIGKILL)  # its workers end by themselves
                deaths += run.pid in alive
            else:
                os.killpg(run.pid, signal.SIGKILL)
                deaths += len(alive)
        assert run.wait(timeout=60) != 0
        run.stderr.close()
        time.sleep(0.3 if way != "driver" else 2)  # whoever was orphaned ends
        committed, began = somewhere.done(), len(computed(log))
    assert len(committed) < somewhere.stations // durable_run.BLOCK  # all died before the end
    if workers:
        finish_as_workers_die(somewhere, log, workers)
    else:
        finish(somewhere, log)
    again |= set(computed(log)[began:]) & committed
    assert not again
    reader.end.set()
    reader.join()
    assert reader.looks > 0
    assert reader.wrong == []
    somewhere.is_whole()
    return deaths + workers


def finish_as_workers_die(somewhere, log, count):
    """Others are started, and the run ends without being started again."""
    before = len(log.read_text().splitlines()) if log.exists() else 0
    run = start(somewhere, log, "cluster", XLSM_TEST_PAUSE="0.2")
    victims = set()
    while run.poll() is None and len(victims) < count:
        for line in log.read_text().splitlines()[before:] if log.exists() else []:
            pid = int(line.split()[1])
            if pid not in victims and len(victims) < count:
                victims.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    _, told = run.communicate(timeout=240)
    assert run.returncode == 0, told
    assert len(victims) == count


def is_mended(somewhere, log, fault):
    """A chunk that is damaged is found, its region forgotten, and computed again alone."""
    somewhere.write(log)
    somewhere.spoil(somewhere.chunks()[5], fault)
    damaged = verify(*somewhere.where)
    assert {one.variable for one in damaged} == {"series"}
    assert len(damaged) == 1
    forget(somewhere.where[0], damaged, somewhere.where[1])
    assert progress(*somewhere.where)[-1] == durable_run.BLOCK
    somewhere.write(log)
    assert len(computed(log)) == BLOCKS + 1
    somewhere.is_whole()


def takes_one_driver_at_a_time(somewhere, log):
    """Who comes second is told who holds the lease, until nobody renews it."""
    lease = somewhere.place().lease()
    theirs = {"token": "other", "host": "elsewhere", "pid": 1, "since": "2026-01-01T00:00:00"}
    assert lease.create(json.dumps(theirs | {"renewed": time.time()}).encode())
    assert not lease.create(b"{}")
    says = "is being written by process 1 on elsewhere, since 2026-01-01"
    with pytest.raises(LSMError, match=says):
        somewhere.write(log)
    lease.write(json.dumps(theirs | {"renewed": time.time() - 100}).encode())
    somewhere.write(log)  # nobody has renewed it
    assert lease.read() == b""
    somewhere.is_whole()
