"""Any number of batch dimensions, in any order, gives what station by station would give."""

from itertools import permutations

import numpy as np
import pytest
import xarray as xr
from twins import ERRORS, FREE, assert_identical_numbers, forcing, truth, twin

from xlsm import Parameter

#: Few parameters: what is tested is the batch.
TWO = FREE[:2]


def assert_close_numbers(a, b, rtol):
    for name in b.data_vars:
        scale = float(abs(b[name]).max())
        np.testing.assert_allclose(a[name], b[name], rtol, rtol * scale, err_msg=name)


def single_calls_agree(stations, picked):
    ds = twin(stations, hours=24, noise=1.0)
    fixed = {name: truth(stations)[name] for name in FREE[2:]}
    sim = ds.lsm.simulate(fixed, outputs=ERRORS)
    est = ds.lsm.estimate(TWO, observed=ERRORS, fixed=fixed)
    assert (est.status == 0).all()
    for i in picked:
        one = ds.isel(station=i)
        known = {name: value.isel(station=i) for name, value in fixed.items()}
        alone = one.lsm.estimate(TWO, observed=ERRORS, fixed=known)
        together = est.isel(station=i)
        # how long it hovers at round-off before it is done is round-off's to say
        gone = ["iterations", "parameter", "parameter_"]
        assert_close_numbers(together.drop_vars(gone), alone.drop_vars(gone), 1e-9)
        assert_close_numbers(sim.isel(station=i), one.lsm.simulate(known, outputs=ERRORS), 1e-12)


def test_1000_stations_equal_single_calls():
    single_calls_agree(1000, range(7, 1000, 25))


@pytest.mark.slow
def test_1000_stations_equal_hundreds_of_single_calls():
    single_calls_agree(1000, range(3, 1000, 4))


# ---------------------------------------------------------------------------- two dimensions


@pytest.fixture(scope="module")
def ensemble():
    """Forcing by station, parameters by member, observations of both."""
    ds = forcing(3, hours=24)
    albedo = xr.DataArray([0.1, 0.2, 0.25, 0.3], dims="member")
    sim = ds.lsm.simulate({"albedo": albedo}, depth=[0.02, 0.1], outputs=ERRORS)
    noise = np.random.default_rng(0).standard_normal
    return ds.assign({n: sim[n] + 0.3 * noise(sim[n].shape) * ERRORS[n] for n in ERRORS})


KNOWN = {"emissivity": xr.DataArray([0.94, 0.95, 0.96, 0.97], dims="member")}


def test_parameters_and_forcing_broadcast(ensemble):
    assert set(ensemble.LWup.dims) == {"station", "member", "time"}
    assert ensemble.Tair.dims == ("station", "time")
    sim = ensemble.lsm.simulate(KNOWN)
    est = ensemble.lsm.estimate(TWO, observed=ERRORS, fixed=KNOWN)
    assert set(est.albedo.dims) == {"station", "member"}
    assert est.emissivity.dims == ("member",)
    np.testing.assert_allclose(est.albedo.mean("station"), [0.1, 0.2, 0.25, 0.3], atol=0.05)
    for station, member in [(0, 0), (2, 1), (1, 3)]:
        at = {"station": station, "member": member}
        one = ensemble.isel(at)
        known = {"emissivity": float(KNOWN["emissivity"][member])}
        assert_close_numbers(sim.isel(at), one.lsm.simulate(known), 1e-12)
        alone = one.lsm.estimate(TWO, observed=ERRORS, fixed=known)
        together = est.isel(at).drop_vars("iterations")
        assert_close_numbers(together, alone.drop_vars("iterations"), 1e-8)


@pytest.mark.bits
@pytest.mark.parametrize("order", list(permutations(["station", "member", "time"]))[1:])
def test_order_of_dimensions_does_not_matter(ensemble, order):
    other = ensemble.transpose("depth", *order)
    usual = ["station", "member", "time", "depth"]
    a, b = (ds.lsm.simulate(KNOWN).transpose(*usual) for ds in (ensemble, other))
    assert_identical_numbers(a, b)
    usual = ["station", "member", "parameter", "parameter_"]
    a, b = (
        ds.lsm.estimate(TWO, observed=ERRORS, fixed=KNOWN).transpose(*usual)
        for ds in (ensemble, other)
    )
    assert_identical_numbers(a, b)


@pytest.mark.bits
def test_batch_dimensions_of_size_one_stay(ensemble):
    one = ensemble.isel(station=[1], member=[2])
    known = {"emissivity": KNOWN["emissivity"][2]}
    est = one.lsm.estimate(TWO, observed=ERRORS, fixed=known)
    assert dict(est.albedo.sizes) == {"station": 1, "member": 1}
    alone = one.isel(station=0, member=0).lsm.estimate(TWO, observed=ERRORS, fixed=known)
    assert alone.albedo.shape == ()
    assert_identical_numbers(est.isel(station=0, member=0), alone)
    assert dict(one.lsm.simulate(known).Qg.sizes) == {"station": 1, "time": 24}


def test_only_a_guess_may_have_the_batch_dimension(ensemble):
    one = ensemble.isel(station=1, member=2)
    guesses = xr.DataArray(np.linspace(0.1, 0.5, 12), dims="start")
    free = {TWO[0]: Parameter(initial=guesses), TWO[1]: Parameter()}
    est = one.lsm.estimate(free, observed=ERRORS)
    assert est.albedo.dims == ("start",)
    alone = one.lsm.estimate(TWO, observed=ERRORS)
    np.testing.assert_allclose(est.albedo, np.full(12, alone.albedo), rtol=1e-7)


# ---------------------------------------------------------------------------- manners

REST = {name: value for name, value in truth(2).items() if name not in TWO}


@pytest.fixture(scope="module")
def pair():
    return twin(2, hours=24)


def test_inputs_are_unchanged():
    ds = twin(2, hours=24)
    # everything that has to be converted, cast or transposed
    ds["Tair"] = (ds.Tair - 273.15).astype("float32").assign_attrs(units="degC", sensor="HMP45")
    ds["SWdown"] = ds.SWdown.T.round().astype("int16").assign_attrs(units="W/m2")
    ds = ds.assign_coords(depth=("depth", [2.0, 10.0], {"units": "cm"}))
    ds.attrs["site"] = "twin"
    ds.Tair.encoding["scale_factor"] = 0.1
    celsius = xr.DataArray([17.0, 18.0], dims="station", attrs={"units": "degC"})
    percent = xr.DataArray([20, 30], dims="station", attrs={"units": "percent"})
    known = {"deep_temperature": celsius}
    guess = {TWO[0]: Parameter(initial=percent), TWO[1]: Parameter()}
    copies = ds.copy(deep=True), known["deep_temperature"].copy(deep=True)
    options, free = dict(known), dict(guess)

    est = ds.lsm.estimate(guess, observed=ERRORS, fixed=known)
    before = est.copy(deep=True)
    ds.lsm.simulate(est)
    ds.lsm.simulate(known)
    ds.lsm.estimate(TWO, fixed=est)

    xr.testing.assert_identical(ds, copies[0])
    assert ds.Tair.dtype == np.float32
    assert ds.Tair.encoding == copies[0].Tair.encoding
    xr.testing.assert_identical(known["deep_temperature"], copies[1])
    xr.testing.assert_identical(est, before)
    assert (known.keys(), guess.keys()) == (options.keys(), free.keys())
    assert guess["albedo"].initial.attrs == {"units": "percent"}
    # the units were understood
    assert est.deep_temperature.attrs["units"] == "K"
    np.testing.assert_allclose(est.deep_temperature, [290.15, 291.15])


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")  # albedos at their bound
def test_results_share_no_memory_with_inputs(pair):
    known = {"emissivity": xr.DataArray([0.94, 0.96], dims="station", attrs={"units": "1"})}
    est = pair.lsm.estimate(TWO, observed=ERRORS, fixed=known)
    est["emissivity"][:] = 0.5
    np.testing.assert_array_equal(known["emissivity"], [0.94, 0.96])


def test_accessor_does_not_go_stale(pair):
    ds = pair.copy()
    before = ds.lsm.simulate()
    first = ds.lsm.estimate(TWO, observed=ERRORS, fixed=REST)
    ds["Tair"] = ds.Tair + 3.0
    ds["LWup"] = ds.LWup + 5.0
    after = ds.lsm.simulate()
    assert (after.AvgSurfT.mean() > before.AvgSurfT.mean() + 0.5).all()
    xr.testing.assert_identical(after, ds.copy().lsm.simulate())
    second = ds.lsm.estimate(TWO, observed=ERRORS, fixed=REST)
    assert (second.albedo != first.albedo).all()
    fresh = ds.copy().lsm.estimate(TWO, observed=ERRORS, fixed=REST)
    xr.testing.assert_identical(second, fresh)


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")  # albedos at their bound
def test_extra_coordinates_and_variables(pair):
    ds = pair
    plain = ds.lsm.estimate(TWO, observed=ERRORS)
    extra = ds.assign_coords(
        latitude=("station", [33.5, 36.6]),
        network="twin",
        hour=("time", ds.time.dt.hour.values),
        label=("depth", ["shallow", "deep"]),
        height=2.0,
    ).assign(
        Rainf=("time", np.zeros(24)),
        category=("station", ["a", "b"]),
        spectrum=(("station", "band"), np.zeros((2, 4))),
    )
    est = extra.lsm.estimate(TWO, observed=ERRORS)
    assert_identical_numbers(est, plain)
    # what belongs to the stations or to all stays, what belongs to times and depths cannot
    stay = {"station", "latitude", "network", "height", "parameter", "parameter_"}
    assert set(est.coords) == stay
    sim = extra.lsm.simulate(est)
    assert {"station", "latitude", "network", "time", "hour", "depth"} <= set(sim.coords)
    assert_identical_numbers(sim, ds.lsm.simulate(plain))
