"""Dask in, lazy out: nothing computes early, chunks change no number, one graph compiles once."""

import os
import subprocess
import sys

import dask
import dask.base
import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from distributed import Client
from twins import ERRORS, FREE, assert_identical_numbers, twin

from xlsm import Parameter
from xlsm.errors import LSMWarning
from xlsm.inference.invert import invert
from xlsm.model.batch import run_batch

# what is not free is not fixed at the truth, and takes albedos to their bound
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

STATIONS = 10
TWO = FREE[:2]


def must_not_compute(dsk, keys, **kwargs):
    raise RuntimeError("computed while building a graph")


@pytest.fixture(scope="module")
def ds():
    return twin(STATIONS, hours=24, noise=1.0)


def known(low=0.94):
    return {"emissivity": xr.DataArray(np.linspace(low, 0.98, STATIONS), dims="station")}


def everything(ds, fixed=None, **options):
    """Every result of a Dataset, by every route through the package."""
    est = ds.lsm.estimate(TWO, observed=ERRORS, fixed=fixed or known(), **options)
    sim = ds.lsm.simulate(est)
    return est, sim


@pytest.fixture(scope="module")
def eager(ds):
    return everything(ds)


class Compilations:
    """Counts the programs XLA compiles, by jax's own event."""

    count = 0

    def __call__(self, event, duration, **kwargs):
        if event == "/jax/core/compile/backend_compile_duration":
            self.count += 1


@pytest.fixture
def compilations():
    listener = Compilations()
    jax.monitoring.register_event_duration_secs_listener(listener)
    yield listener
    jax.monitoring.unregister_event_duration_listener(listener)


# ---------------------------------------------------------------------------- laziness


def test_building_a_graph_computes_nothing(ds):
    lazy = ds.chunk(station=4)
    with dask.config.set(scheduler=must_not_compute):
        fixed = {"emissivity": known()["emissivity"].chunk(station=4)}
        est, sim = everything(lazy, fixed)
        restart = {"albedo": Parameter(initial=est.albedo)}
        again = lazy.lsm.estimate(restart, observed=ERRORS, fixed=est.drop_vars("albedo"))
        for result in (est, sim, again):
            for name, variable in result.data_vars.items():
                # a fixed parameter that is one number is passed on as it is
                assert variable.chunks is not None or variable.ndim == 0, name
        with pytest.raises(RuntimeError, match="while building a graph"):
            sim.compute()


def test_any_lazy_input_makes_the_result_lazy(ds):
    with dask.config.set(scheduler=must_not_compute):
        one = ds.assign(LWup=ds.LWup.chunk(station=5))
        assert one.lsm.estimate(TWO, observed=ERRORS).albedo.chunks == ((5, 5),)
        fixed = {"emissivity": known()["emissivity"].chunk(station=5)}
        assert ds.lsm.simulate(fixed).Qg.chunksizes["station"] == (5, 5)


def test_eager_in_eager_out(eager):
    for result in eager:
        assert all(variable.chunks is None for variable in result.values())


VERBS = {
    "simulate": lambda ds: ds.lsm.simulate(),
    "estimate": lambda ds: ds.lsm.estimate(TWO, observed=ERRORS),
    "windows": lambda ds: ds.lsm.estimate(TWO, observed=ERRORS, window="12h", holdout="3h"),
    "identifiability": lambda ds: ds.lsm.identifiability({"albedo": 0.2}, observed=ERRORS),
    "data_worth": lambda ds: ds.lsm.data_worth({"albedo": 0.2}, observed=ERRORS),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
@pytest.mark.parametrize("chunks", [{"time": 5, "station": 4}, {"depth": 1, "station": 4}])
def test_chunks_of_time_are_put_together_and_the_cost_is_told_once(ds, verb, chunks):
    lazy = ds.chunk(chunks)
    before = lazy.chunks
    with dask.config.set(scheduler=must_not_compute), pytest.warns(LSMWarning) as told:
        result = verb(lazy)
    (warning,) = [one for one in told if "chunked along time" in str(one.message)]
    assert warning.filename == __file__
    assert lazy.chunks == before
    first = next(v for v in result.data_vars.values() if "station" in v.dims)
    assert first.chunksizes["station"] == (4, 4, 2)


def test_the_cost_of_chunks_of_time():
    ds = twin(STATIONS, hours=24, noise=1.0)  # 5 series of 24 hours, one of them at two depths

    def cost(lazy):
        with pytest.warns(LSMWarning) as told:
            lazy.lsm.simulate()
        (said,) = [str(one.message) for one in told if "chunked along" in str(one.message)]
        assert "\n" not in said
        return said

    said = cost(ds.chunk(time=5, station=4))
    assert "SWdown and 4 more variables are chunked along time or depth" in said
    assert "5 chunks are put together for every block, which takes 0.00461 MB" in said
    assert "each of them is read once" in said
    assert "ds.chunk(time=-1, station=4).drop_encoding().to_zarr(...)" in said
    said = cost(ds.chunk(time=5, station=4).assign(Tair=ds.Tair.chunk(station=3)))
    assert "SWdown and 3 more variables are" in said
    assert "is read for up to 2 blocks" in said  # of 3, 1, 2, 2, 1 and 1 stations
    said = cost(ds.chunk(time=5))
    assert "takes 0.0115 MB" in said
    assert "ds.chunk(time=-1, station=10)" in said
    said = cost(ds.isel(station=0).chunk(time=5))
    assert "ds.chunk(time=-1).drop_encoding()" in said


@pytest.mark.bits
def test_chunks_of_time_change_no_bit(ds):
    with pytest.warns(LSMWarning, match="chunked along time"):
        a = everything(ds.chunk(time=5, station=4))
    for one, other in zip(a, everything(ds.chunk(station=4)), strict=True):
        assert_identical_numbers(one.compute(scheduler="sync"), other.compute(scheduler="sync"))


# ---------------------------------------------------------------------------- numbers


@pytest.mark.bits
def test_whole_chunk_gives_the_same_bits(ds, eager):
    for lazy, result in zip(everything(ds.chunk(station=STATIONS)), eager, strict=True):
        assert_identical_numbers(lazy.compute(scheduler="sync"), result)


@pytest.mark.bits
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_ragged_chunks_give_the_same_numbers(ds, eager, scheduler):
    for lazy, result in zip(everything(ds.chunk(station=4)), eager, strict=True):
        assert lazy.chunksizes["station"] == (4, 4, 2)
        computed = lazy.compute(scheduler=scheduler)
        for name in result.data_vars:
            assert computed[name].dtype == result[name].dtype == lazy[name].dtype
            assert computed[name].attrs.keys() == result[name].attrs.keys()
            scale = 1e-12 * float(abs(result[name]).max())
            np.testing.assert_allclose(computed[name], result[name], 1e-12, scale, err_msg=name)


@pytest.mark.bits
def test_where_the_cuts_are_changes_no_bit(ds):
    """Blocks padded to the same size: a station's numbers do not depend on its place."""
    a = everything(ds.chunk(station=(4, 4, 2)))
    b = everything(ds.chunk(station=(2, 4, 4)))
    for one, other in zip(a, b, strict=True):
        assert_identical_numbers(one.compute(scheduler="sync"), other.compute(scheduler="sync"))


def test_two_chunked_batch_dimensions(ds):
    member = xr.DataArray([0.94, 0.97], dims="member")
    cut = everything(ds.chunk(station=4), {"emissivity": member.chunk(member=1)})
    for i, emissivity in enumerate(member):
        alone = everything(ds, {"emissivity": emissivity})
        for lazy, result in zip(cut, alone, strict=True):
            assert lazy.chunksizes["member"] == (1, 1)
            computed = lazy.isel(member=i).compute(scheduler="sync")
            for name in {"albedo", "status", "cost", "Qg"} & set(result):
                np.testing.assert_allclose(computed[name], result[name], rtol=1e-12, atol=1e-10)


# ---------------------------------------------------------------------------- compilations


def test_one_graph_compiles_once(compilations):
    """Three chunks, the last one ragged; then other numbers, and nothing is left to compile."""
    ds = twin(11, hours=25, noise=1.0)  # a shape no other test has
    lazy = ds.chunk(station=4)
    kernels = invert._cache_size(), run_batch._cache_size()
    lazy.lsm.estimate(TWO, observed=ERRORS, starts=2).compute(scheduler="sync")
    lazy.lsm.simulate(outputs=["Qg", "SoilTemp"]).compute(scheduler="sync")
    assert (invert._cache_size(), run_batch._cache_size()) == (kernels[0] + 1, kernels[1] + 1)

    compilations.count = 0  # from here on of anything, the kernels' small helpers included
    free = {name: Parameter() for name in TWO} | {"albedo": Parameter((0.01, 0.6), initial=0.3)}
    other = lazy.assign(Tair=lazy.Tair + 1).assign_coords(depth=[0.035, 0.2])
    other = other.assign_coords(time=ds.time[0] + 2 * (ds.time - ds.time[0]))
    emissivity = xr.DataArray(np.linspace(0.9, 0.99, 11), dims="station")
    for fixed in ({"emissivity": 0.9}, {"emissivity": emissivity, "heat_capacity": 1.9e6}):
        est = other.lsm.estimate(
            free,
            observed={"SoilTemp": 0.3, "LWup": 4.0},
            fixed=fixed,
            starts=2,
            seed=5,
            tolerance=1e-6,
            max_steps=30,
        )
        assert np.isfinite(est.albedo.compute(scheduler="sync")).all()
        sim = other.lsm.simulate(fixed, depth=[0.0, 0.5], outputs=["Qg", "SoilTemp"])
        assert np.isfinite(sim.Qg.compute(scheduler="sync")).all()
    # chunks of the same size in a longer Dataset
    longer = xr.concat([lazy, lazy], "station").chunk(station=4)
    longer.lsm.estimate(TWO, observed=ERRORS, starts=2).compute(scheduler="sync")
    assert compilations.count == 0
    assert (invert._cache_size(), run_batch._cache_size()) == (kernels[0] + 1, kernels[1] + 1)


def test_global_settings_of_jax_stay(ds):
    everything(ds.chunk(station=4))[1].compute(scheduler="threads")
    everything(ds)
    assert jax.config.jax_enable_x64 is False
    assert jnp.array(1.0).dtype == jnp.float32
    # and a user's own choice does not change the results
    with jax.enable_x64(True):
        est, _ = everything(ds)
        assert jnp.array(1.0).dtype == jnp.float64
    assert_identical_numbers(est, everything(ds)[0])


# ---------------------------------------------------------------------------- graphs


def test_tokens_are_deterministic(ds):
    lazy = ds.chunk(station=4)
    with dask.config.set({"tokenize.ensure-deterministic": True}):
        first, second = everything(lazy), everything(lazy)
        other = everything(lazy, known(0.92))
        seeds = [everything(lazy, starts=2, seed=seed)[0] for seed in (1, 2)]
        for one, again, different in zip(first, second, other, strict=True):
            assert dask.base.tokenize(one) == dask.base.tokenize(again)
            assert dask.base.tokenize(one) != dask.base.tokenize(different)
    assert set(first[0].__dask_keys__()[0]) == set(second[0].__dask_keys__()[0])
    assert dask.base.tokenize(seeds[0]) != dask.base.tokenize(seeds[1])


@pytest.mark.slow  # two more processes compile the same; every day threads have to do
@pytest.mark.bits
def test_worker_processes_give_the_same_bits(ds):
    est, sim = everything(ds.chunk(station=4))
    here = est.compute(scheduler="threads"), sim.compute(scheduler="threads")
    workers = {"processes": True, "n_workers": 2, "threads_per_worker": 1}
    with Client(**workers, dashboard_address=None) as client:
        there = client.compute([est, sim], sync=True)
    for one, other in zip(here, there, strict=True):
        assert_identical_numbers(one, other)


FORKED = """
import multiprocessing, warnings
import xlsm

warnings.simplefilter("ignore")  # of Python and JAX, at the fork itself
ds = xlsm.tutorial.open_dataset("huang2025")
ds.lsm.simulate({"albedo": 0.2})
verbs = {
    "simulate": lambda: ds.lsm.simulate({"albedo": 0.3}),
    "estimate": lambda: ds.lsm.estimate("albedo", observed="SoilTemp"),
}

def work(queue):
    for name, verb in verbs.items():
        try:
            verb()
            queue.put("computed")
        except Exception as error:
            queue.put(f"{name}: {error}")

context = multiprocessing.get_context("fork")
queue = context.Queue()
child = context.Process(target=work, args=(queue,))
child.start()
for _ in verbs:
    print(queue.get(timeout=60))
child.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system that cannot fork")
def test_a_forked_process_is_told_so_and_does_not_wait_for_ever():
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=120, check=True
    )
    for line, verb in zip(done.stdout.splitlines(), ("simulate", "estimate"), strict=True):
        assert line.startswith(f"{verb}: this process was forked from one that had loaded JAX")
        assert "spawn" in line


def test_a_lazy_simulation_without_soil_temperatures():
    """No output has depths, and nothing is said of them."""
    ds = twin(2, hours=6)
    lazy = ds.chunk(station=1).lsm.simulate({"albedo": 0.2}, outputs="Qg")
    xr.testing.assert_allclose(lazy.compute(), ds.lsm.simulate({"albedo": 0.2}, outputs="Qg"))
