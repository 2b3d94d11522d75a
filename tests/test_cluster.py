"""Worker processes: their settings, a GPU each where there are some, and who may work."""

import copy
import os
import signal
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import dask
import pytest
from distributed import Client
from distributed.system import MEMORY_LIMIT

from xlsm.errors import LSMError, LSMWarning
from xlsm.pipeline import cluster, gpus
from xlsm.pipeline.cluster import client_of, local_client

CUDA = EntryPoint("xla_cuda13", "jax_plugins.xla_cuda13", "jax_plugins")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with four GPUs and what belongs to them, and JAX's plugin."""
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm", "sda0"):
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.setattr(gpus, "entry_points", lambda group: (CUDA,))
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    return tmp_path


def test_gpus_are_found_without_jax(machine, monkeypatch):
    assert gpus.gpus() == ["0", "1", "2", "3"]
    (machine / "nvidia0").unlink()  # a container that was given three of four
    assert gpus.gpus() == ["0", "1", "2"]
    monkeypatch.setattr(gpus, "entry_points", lambda group: ())
    assert gpus.gpus() == []  # JAX would not use them
    monkeypatch.setattr(gpus, "entry_points", lambda group: (CUDA,))
    monkeypatch.setattr(gpus, "DEVICES", machine / "none")
    monkeypatch.setenv(gpus.VISIBLE, "0")
    assert gpus.gpus() == []


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2,3", ["2", "3"]),
        ("GPU-8932f937, MIG-41b36c1b", ["GPU-8932f937", "MIG-41b36c1b"]),
        ("1,-1,0", ["1"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_gpus_that_are_hidden_stay_so(machine, monkeypatch, visible, expected):
    monkeypatch.setenv(gpus.VISIBLE, visible)
    assert gpus.gpus() == expected


@pytest.mark.parametrize(
    ("platforms", "count"), [("cpu", 0), ("tpu,cpu", 0), ("cuda,cpu", 4), ("gpu", 4), ("", 4)]
)
def test_gpus_that_jax_is_told_to_leave_alone(machine, monkeypatch, platforms, count):
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    assert len(gpus.gpus()) == count


def surroundings():
    names = (gpus.VISIBLE, "NPROC", "OMP_NUM_THREADS", "XLSM_TEST_MARK")
    return {name: os.environ.get(name) for name in names} | {
        "method": dask.config.get("distributed.worker.multiprocessing-method"),
        "pid": os.getpid(),
    }


def workers_of(client):
    found = client.run(surroundings)
    assert all(one["NPROC"] == "1" and one["method"] == "spawn" for one in found.values())
    assert set(client.nthreads().values()) == {1}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "expected"), [(1, ["5"]), (2, ["5", "7"]), (8, ["5", "7"])])
def test_a_worker_for_each_gpu(monkeypatch, asked, expected):
    monkeypatch.setattr(cluster, "gpus", lambda: ["5", "7"])
    monkeypatch.setenv("XLSM_TEST_MARK", "inherited")
    before = surroundings()
    with local_client(asked) as client:
        found = workers_of(client)
        assert sorted(one[gpus.VISIBLE] for one in found.values()) == expected
        assert {one["XLSM_TEST_MARK"] for one in found.values()} == {"inherited"}
        scheduler = client.cluster.scheduler
        limits = [worker.memory_limit for worker in scheduler.workers.values()]
        assert limits == [MEMORY_LIMIT // len(expected)] * len(expected)
    assert surroundings() == before


@pytest.mark.slow
def test_a_worker_that_is_started_again_has_the_gpu_it_had(monkeypatch):
    monkeypatch.setattr(cluster, "gpus", lambda: ["5", "7"])
    with local_client(2) as client:
        before = workers_of(client)
        address, victim = next(iter(before.items()))
        os.kill(victim["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 60
        while address in client.nthreads() or len(client.nthreads()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        after = workers_of(client)
        assert sorted(one[gpus.VISIBLE] for one in after.values()) == ["5", "7"]
        assert victim["pid"] not in {one["pid"] for one in after.values()}


@pytest.mark.slow
def test_workers_without_gpus(monkeypatch):
    monkeypatch.setattr(cluster, "gpus", list)
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    with local_client(2) as client:
        found = workers_of(client)
        assert [one[gpus.VISIBLE] for one in found.values()] == [None, None]
        assert client.cluster.scheduler.allowed_failures == 3
        # 15 s by default, after which a worker that was still starting again was let go for good:
        # on a busy machine a region that kills its workers left none, and the run waited for ever
        assert dask.config.get("distributed.deploy.lost-worker-timeout") == "1 day"


# ---------------------------------------------------------------- a scheduler of somebody else


@pytest.fixture(scope="module")
def told():
    """What a scheduler with two workers tells of its versions, all of them as here."""
    here = {
        "host": {"python": "3.12.4.final.0"},
        "packages": {"xlsm": "0.3.0", "jax": "0.10.2", "jaxlib": "0.10.2"},
    }
    workers = {f"tcp://10.0.0.{i}:1": copy.deepcopy(here) for i in range(1, 6)}
    return {"client": here, "scheduler": copy.deepcopy(here), "workers": workers}


def test_the_same_versions_everywhere(told):
    cluster._check_versions(told)
    other = copy.deepcopy(told)
    other["workers"]["tcp://10.0.0.2:1"]["host"]["python"] = "3.12.9.final.0"
    cluster._check_versions(other)


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("xlsm", None, "xlsm is 0.3.0 here, but missing at the worker tcp://10.0.0.2:1: start"),
        ("xlsm", "0.2.0", "xlsm is 0.3.0 here, but 0.2.0 at the worker tcp://10.0.0.2:1: start"),
        ("jax", "0.9.1", "jax is 0.10.2 here, but 0.9.1 at .* xlsm==0.3.0 jax==0.10.2 jaxlib=="),
        ("jaxlib", "0.9.1", "jaxlib is 0.10.2 here, but 0.9.1 at the worker"),
    ],
)
def test_a_worker_of_another_version_is_named(told, name, version, says):
    other = copy.deepcopy(told)
    other["workers"]["tcp://10.0.0.2:1"]["packages"][name] = version
    with pytest.raises(LSMError, match=says):
        cluster._check_versions(other)


def test_a_scheduler_without_xlsm_and_too_many_workers_to_name(told):
    other = copy.deepcopy(told)
    del other["scheduler"]["packages"]["xlsm"]
    with pytest.raises(LSMError, match="but missing at the scheduler: start"):
        cluster._check_versions(other)
    for worker in other["workers"].values():
        worker["packages"]["xlsm"] = "0.2"
    with pytest.raises(LSMError, match=r"missing at the scheduler, 0.2 at .* and at 3 more: start"):
        cluster._check_versions(other)


def test_another_python_is_warned_of(told):
    other = copy.deepcopy(told)
    other["workers"]["tcp://10.0.0.3:1"]["host"]["python"] = "3.11.7.final.0"
    says = r"Python is 3.12 here, but 3.11 at the worker tcp://10.0.0.3:1, where"
    with pytest.warns(LSMWarning, match=says):
        cluster._check_versions(other)


@pytest.mark.slow
def test_a_cluster_that_lacks_xlsm_is_refused(monkeypatch):
    """By way of a real scheduler and worker, of which one tells that it has none."""
    original = Client.get_versions

    def without(self, *args, **options):
        found = original(self, *args, **options)
        for worker in found["workers"].values():
            worker["packages"]["xlsm"] = None
        return found

    with local_client(1) as client:
        address = client.scheduler.address
        with client_of(address):  # as it is
            pass
        monkeypatch.setattr(Client, "get_versions", without)
        with pytest.raises(LSMError, match="missing at the worker tcp://"), client_of(address):
            pass


def test_devices_are_looked_for_where_linux_has_them():
    assert Path("/dev") == gpus.DEVICES
