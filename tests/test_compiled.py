"""Compiled programs that are kept: used where they are good, and harmless where they are not."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import jax
import pytest

from xlsm.pipeline import compiled, shelf
from xlsm.pipeline.shelf import hand_on, open_shelf, take_down

#: Simulates two stations, and tells what JAX did and what came out of it.
PROGRAM = """
import hashlib, json, os, sys
import jax, jax.monitoring
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.split("/")[-1]))
import xlsm
from xlsm.pipeline.compiled import SETTINGS
before = {name: getattr(jax.config, name) for name in [*SETTINGS, "jax_compilation_cache_dir"]}
ds = xlsm.tutorial.network(stations=2, days=1)  # which is a simulation, too: the first block
if len(sys.argv) > 1:
    os.kill(os.getpid(), 9)
sim = ds.lsm.simulate({"albedo": 0.2}, depth=[0.05])
values = b"".join(sim[name].values.tobytes() for name in sorted(sim))
print(json.dumps({
    "hits": events.count("cache_hits"), "misses": events.count("cache_misses"),
    "bits": hashlib.sha256(values).hexdigest(),
    "changed": before != {name: getattr(jax.config, name) for name in before},
}))
"""


def start(folder=None, *arguments, **environment):
    given = {name: value for name, value in os.environ.items() if name != compiled.VARIABLE}
    given |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} | environment
    if folder is not None:
        given[compiled.VARIABLE] = str(folder)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, *arguments],
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process, code=0):
    out, told = process.communicate(timeout=240)
    assert process.returncode == code, told
    return json.loads(out.splitlines()[-1]) | {"told": told}


def once(folder=None, *arguments, code=0, **environment):
    return end(start(folder, *arguments, **environment), code)


def versions(folder):
    return [path for path in folder.iterdir() if path.is_dir()]


def kept(folder):
    """Entries by name, of the only version there is."""
    (version,) = versions(folder)
    assert [path.name for path in version.iterdir() if path.is_dir()] == ["running"]
    return {path.name: path for path in version.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def without():
    """What comes out without a cache."""
    found = once()
    assert (found["hits"], found["misses"], found["changed"]) == (0, 0, False)
    return found


@pytest.fixture(scope="module")
def filled(tmp_path_factory, without):
    """A folder with what one process has compiled."""
    folder = tmp_path_factory.mktemp("cache")
    found = once(folder)
    assert found["misses"] == len(kept(folder)) > 0
    assert found["changed"]
    assert (found["hits"], found["bits"]) == (0, without["bits"])
    return folder


@pytest.fixture
def folder(filled, tmp_path):
    """A copy of it, to be spoiled."""
    (version,) = versions(filled)
    copy = tmp_path / "cache" / version.name
    (copy / "running").mkdir(parents=True, mode=0o700)
    copy.chmod(0o700)
    for name, path in kept(filled).items():
        (copy / name).write_bytes(path.read_bytes())
    return copy.parent


def same_as(found, without, **expected):
    assert found["bits"] == without["bits"]
    assert {name: found[name] for name in expected} == expected, found["told"]


@pytest.mark.slow
def test_a_second_process_compiles_nothing(folder, without):
    before = {name: path.stat().st_mtime_ns for name, path in kept(folder).items()}
    same_as(once(folder), without, hits=len(before), misses=0)
    assert before == {name: path.stat().st_mtime_ns for name, path in kept(folder).items()}
    assert list((versions(folder)[0] / "running").iterdir()) == []  # nothing of it stays


def flipped(whole):
    return whole[:99] + bytes([whole[99] ^ 4]) + whole[100:]


def halved(whole):
    return whole[: len(whole) // 2]


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [flipped, halved])
def test_damage_is_harmless_and_mended(folder, without, damaged):
    whole = {name: path.read_bytes() for name, path in kept(folder).items()}
    path = kept(folder)[max(whole, key=lambda name: len(whole[name]))]
    path.write_bytes(damaged(path.read_bytes()))
    (path.parent / "notes.txt").write_text("no entry at all")
    same_as(once(folder), without, hits=len(whole) - 1, misses=1)
    assert set(kept(folder)) == set(whole)
    same_as(once(folder), without, hits=len(whole), misses=0)


@pytest.mark.slow
def test_two_processes_at_once(folder, tmp_path, without):
    for there in (folder, tmp_path / "new"):
        for found in [end(process) for process in [start(there), start(there)]]:
            same_as(found, without)
        same_as(once(there), without, hits=len(kept(folder)), misses=0)


@pytest.mark.slow
def test_another_version_is_not_looked_at(folder, without):
    """Nor is one for another number of threads, whose sums have other last bits."""
    (version,) = versions(folder)
    other = version.rename(folder / "jax-0.0.1-cpu-0123456789abcdef")
    (path, *_) = (path for path in other.iterdir() if path.is_file())
    path.write_bytes(b"damaged")
    found = once(folder)
    same_as(found, without, hits=0)
    assert found["misses"] > 0
    assert path.read_bytes() == b"damaged"
    assert once(folder, NPROC="63")["hits"] == 0
    assert len(versions(folder)) == 3


@pytest.mark.slow
def test_a_folder_that_cannot_be_used(folder, tmp_path, without):
    """A file, a folder to which others can write, one of JAX's own: it goes on without."""
    file = tmp_path / "file"
    file.write_text("precious")
    found = once(file)
    same_as(found, without, hits=0, misses=0, changed=False)
    assert "is not used from here on" in found["told"]
    assert file.read_text() == "precious"
    versions(folder)[0].chmod(0o777)
    found = once(folder)
    same_as(found, without, hits=0, misses=0, changed=False)
    assert "others can write to" in found["told"]
    versions(folder)[0].chmod(0o700)
    found = once(folder, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "jax"))
    same_as(found, without, hits=0, changed=False)


@pytest.mark.slow
def test_a_process_that_dies_in_its_first_block_is_the_last_to_use_what_it_used(folder, without):
    """An entry may be no good although its checksum is right: nobody dies of it twice."""
    whole = set(kept(folder))
    process = start(folder, "die")
    process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL
    found = once(folder)
    same_as(found, without, hits=0, misses=len(whole))
    assert "died in its first block" in found["told"]
    assert set(kept(folder)) == whole
    assert list((versions(folder)[0] / "running").iterdir()) == []


@pytest.mark.slow
def test_workers_of_the_command_line(tmp_path):
    """They inherit the folder; the next run takes over what they have compiled."""

    def times():
        found = {}
        for version in versions(tmp_path / "cache"):  # here on all cores, the workers on one each
            found |= {path: path.stat().st_mtime_ns for path in version.iterdir() if path.is_file()}
        return found

    def run(name, *options):
        command = [sys.executable, "-m", "xlsm", "estimate", "twin", name, "--free", "albedo"]
        options = (*options, "--time", "2024-06-01", "--compilation-cache", "cache")
        return subprocess.run(
            [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=240
        )

    assert run("a.zarr", "--workers", "2").returncode in (0, 3)
    before = times()
    assert any("jit_invert" in path.name for path in before)
    assert run("b.zarr", "--workers", "2", "--resume").returncode in (0, 3)
    after = times()
    assert before.items() <= after.items()
    assert not any("jit_invert" in path.name for path in set(after) - set(before))
    refused = run("c.zarr", "--scheduler", "tcp://127.0.0.1:9")
    assert refused.returncode == 2
    assert "XLSM_COMPILATION_CACHE" in refused.stderr


# ---------------------------------------------------------------- the files, without JAX


def test_nothing_is_set_where_nobody_asks(monkeypatch):
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    monkeypatch.setattr(compiled, "_open", None)
    before = jax.config.jax_compilation_cache_dir  # the tests may have one of their own
    compiled.keep_compiled()
    assert jax.config.jax_compilation_cache_dir == before


def entry(text):
    return zlib.compress(text.encode())


@pytest.fixture
def shared(tmp_path):
    return tmp_path / "shared"


@pytest.fixture
def opened(shared):
    """To be called for the shelf of a process."""
    shelves = []

    def open_one():
        shelves.append(open_shelf(shared))
        return shelves[-1]

    yield open_one
    for one in shelves:
        if one.own.exists():
            take_down(one)


def names(one):
    return {path.name for path, _ in shelf._entries(one.own)}


def test_what_one_adds_the_next_one_has(opened, shared):
    one, two = opened(), opened()
    (one.own / "a").write_bytes(entry("a"))
    hand_on(one)
    assert names(two) == set()
    three = opened()
    assert (three.own / "a").read_bytes() == entry("a")
    (two.own / "a").write_bytes(entry("a"))  # it has compiled the same meanwhile
    take_down(two)
    assert not two.own.exists()
    assert {path.name for path in shared.iterdir()} == {"a", "running"}


@pytest.mark.parametrize(
    "damaged", [flipped, halved, lambda whole: b"", lambda whole: whole[32:], lambda _: bytes(5000)]
)
def test_what_is_damaged_is_removed(opened, shared, damaged):
    one = opened()
    for name in ("a", "b"):
        (one.own / name).write_bytes(entry(name * 9999 + "".join(map(str, range(9999)))))
    hand_on(one)
    whole = (shared / "a").read_bytes()
    (shared / "a").write_bytes(damaged(whole))
    (shared / "c").write_bytes(whole)  # good, under the name of another
    assert names(opened()) == {"b"}
    assert {path.name for path in shared.iterdir()} == {"b", "running"}


def test_what_is_half_written_waits(opened, shared):
    one = opened()
    (one.own / "a").write_bytes(entry("a" * 999)[:-3])
    hand_on(one)
    assert not (shared / "a").exists()
    (one.own / "a").write_bytes(entry("a" * 999))
    hand_on(one)
    assert names(opened()) == {"a"}


def test_zstd_is_understood_where_jax_uses_it(monkeypatch):
    class Library:
        @staticmethod
        def decompress(data):
            if not data.endswith(b"end"):
                raise RuntimeError("did not decompress full frame")

    monkeypatch.setattr(shelf, "_zstd", Library)
    assert shelf._whole(b"\x28\xb5\x2f\xfd...end")
    assert not shelf._whole(b"\x28\xb5\x2f\xfd...")


def test_the_oldest_go_where_there_are_too_many(opened, shared, monkeypatch):
    one = opened()
    for age, name in enumerate("abcd"):
        (one.own / name).write_bytes(entry(name))
        hand_on(one)
        os.utime(shared / name, (time.time() - age, time.time() - age))
    size = (shared / "a").stat().st_size
    (shared / "huge").write_bytes(bytes(100 * size))
    monkeypatch.setattr(shelf, "LIMIT", 2 * size)
    assert names(opened()) == {"a", "b"}
    assert {path.name for path in shared.iterdir()} == {"a", "b", "running"}


def test_a_disk_that_is_full(opened, shared, monkeypatch):
    one = opened()
    (one.own / "a").write_bytes(entry("a"))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            hand_on(one)
        monkeypatch.setenv(compiled.VARIABLE, "somewhere")
        monkeypatch.setattr(compiled, "_asked", True)
        monkeypatch.setattr(compiled, "_cache", one)
        compiled.keep_compiled()  # which logs it
    assert compiled._cache is None
    compiled.keep_compiled()
    assert {path.name for path in shared.iterdir()} == {"running"}


def test_leftovers_are_swept(opened, shared):
    one = opened()
    old = time.time() - 2 * shelf.STALE
    for name in (".1234", "running/1234.lock"):
        (shared / name).touch()
        opened()
        assert (shared / name).exists()  # somebody may be about to use it
        os.utime(shared / name, (old, old))
        opened()
        assert not (shared / name).exists()
    os.utime(one.own.with_suffix(".lock"), (old, old))
    opened()
    assert one.own.exists()  # it lives


def test_a_forked_process_leaves_it_alone(opened):
    one = opened()
    take_down(one._replace(process=os.getpid() + 1))
    assert one.own.exists()
