"""Whatever comes in, a right answer or an LSMError comes out: no other error, no silent NaN."""

import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import BROKEN, MODELS, REFUSED, legal_cases, parameters
from twins import forcing, twin

from xlsm import PaperRadiation
from xlsm.errors import LSMError
from xlsm.inference.invert import Status
from xlsm.validate import read_variable

# whatever comes in, stations may be flagged
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

# derandomize: the same examples everywhere and always; a failure is never somebody else's
few = settings(max_examples=60, deadline=None, derandomize=True, database=None)
WEATHER = ("SWdown", "LWdown", "Tair")
STEFAN_BOLTZMANN = 5.670374419e-8
#: Coefficients, and the one temperature that is no surface's: estimated from a perturbed start.
FREE = ["albedo", "combined_transfer_coefficient"]


def canonical(ds):
    return {name: read_variable(ds, name) for name in WEATHER}


# ---------------------------------------------------------------------------- simulate


# among soils of any diffusivity some reach through their column within two days, rightly told
@pytest.mark.filterwarnings("ignore::xlsm.errors.LSMWarning")
@few
@given(legal_cases())
def test_simulate_is_right(case):
    before = case.ds.copy(deep=True)
    nodes = case.model.grid.node_depths
    sim = case.ds.lsm.simulate(case.parameters, model=case.model, depth=nodes)
    xr.testing.assert_identical(case.ds, before)
    assert list(sim.data_vars) == ["SoilTemp", "AvgSurfT", "SWup", "LWup", "Qturb", "Qg"]
    for variable in sim.values():
        assert np.isfinite(variable).all(), variable.name
        assert variable.sizes["time"] == case.ds.sizes["time"]
    weather, values = canonical(case.ds), case.parameters

    # the first time is the initial state
    start = values.get("deep_temperature", values.get("initial_temperature"))
    np.testing.assert_allclose(sim.SoilTemp.isel(time=0), start, rtol=1e-12)
    np.testing.assert_allclose(sim.AvgSurfT.isel(time=0), start, rtol=1e-12)
    if case.model.bottom.fixed:
        np.testing.assert_allclose(sim.SoilTemp.isel(depth=-1), start, rtol=1e-12)
    np.testing.assert_allclose(sim.SoilTemp.isel(depth=0), sim.AvgSurfT, rtol=1e-9)

    # the surface balances
    incoming = weather["SWdown"] + weather["LWdown"]
    closure = incoming - sim.SWup - sim.LWup - sim.Qturb - sim.Qg
    size = incoming.max() + abs(sim.Qturb).max() + sim.LWup.max()
    assert (abs(closure) < 1e-11 * size).all()
    coefficient = values["combined_transfer_coefficient"]
    turbulent = coefficient * (sim.AvgSurfT - weather["Tair"])
    np.testing.assert_allclose(
        sim.Qturb.transpose(*turbulent.dims), turbulent, atol=1e-9 * float(size)
    )

    # what the soil stores is what came in through the surface less what left by the bottom
    own = xr.DataArray(case.model.grid.thicknesses, dims="depth")
    stored = (values["heat_capacity"] * own * sim.SoilTemp).sum("depth")
    spacing = case.model.grid.spacing
    bottom = 0.0
    if case.model.bottom.fixed:
        last = sim.SoilTemp.isel(depth=-2, drop=True) - sim.SoilTemp.isel(depth=-1, drop=True)
        bottom = values["thermal_conductivity"] / spacing * last
    gained = case.step * (sim.Qg - bottom).isel(time=slice(1, None))
    change = stored.diff("time") - gained
    flow = float(abs(gained).max()) if gained.size else 0.0
    assert (abs(change) <= 1e-9 * flow + 1e-11 * float(stored.max())).all()

    # no temperature leaves the range of what drives it: start, air, and radiative equilibrium
    warmest = ((weather["SWdown"] + weather["LWdown"]).max() / 0.5 / STEFAN_BOLTZMANN) ** 0.25
    highest = max(start, float(weather["Tair"].max()), float(warmest))
    lowest = 0.0
    if not isinstance(case.model.surface.radiation, PaperRadiation):
        # a grey body in the dark is coldest where it radiates to the sky alone
        sky = (weather["LWdown"].min() / STEFAN_BOLTZMANN) ** 0.25
        lowest = min(start, float(weather["Tair"].min()), float(sky))
    assert (sim.SoilTemp <= highest + 1e-6).all()
    assert (sim.SoilTemp >= lowest - 1e-6).all()


@few
@given(st.data(), st.sampled_from(WEATHER), st.sampled_from(BROKEN), st.integers(0, 26))
def test_broken_forcing_stays_where_it_is(data, name, value, place):
    """Before it in time and at the other stations nothing changes; after it nothing is made up."""
    model = MODELS[0]
    values = data.draw(parameters(model))
    ds = forcing(3, 9)
    spoilt = ds.copy(deep=True)
    station, time = divmod(place, 9)
    spoilt[name][station, time] = value
    good, bad = (d.lsm.simulate(values, model=model, depth=[0.0, 0.3]) for d in (ds, spoilt))
    for variable in good.data_vars:
        a, b = (d[variable].transpose("station", "time", ...).values for d in (good, bad))
        others = np.arange(3) != station
        np.testing.assert_array_equal(a[others], b[others])
        np.testing.assert_array_equal(a[station, :time], b[station, :time])
    if not np.isfinite(value):
        # the very first forcing only serves the fluxes there
        after = slice(time, None) if time else slice(0, 0)
        assert not np.isfinite(bad.SoilTemp.isel(station=station, time=after, depth=0)).any()


# ---------------------------------------------------------------------------- estimate


def observed_cases():
    shapes = st.sampled_from([(2, 1), (9, 3)])
    kinds = st.sampled_from(["days", "night", "constant"])
    return st.tuples(shapes, kinds, parameters(MODELS[0]), st.integers(0, 2**32))


@settings(few, max_examples=40)
@given(observed_cases(), st.floats(0, 1), st.sampled_from([0.0, 1.0, 1e6]))
def test_estimate_is_finite_or_says_why(case, missing, noise):
    """Any truth, noise and gaps: numbers where the status says so, and none where it does not."""
    (times, stations), kind, values, seed = case
    ds = forcing(stations, times)
    if kind != "days":
        ds["SWdown"] = 0 * ds.SWdown + (0 if kind == "night" else 400)
    random = np.random.default_rng(seed)
    sim = ds.lsm.simulate(values, model=MODELS[0], outputs="AvgSurfT")
    series = sim.AvgSurfT + noise * random.standard_normal(sim.AvgSurfT.shape)
    ds["AvgSurfT"] = series.where(random.random(series.shape) >= missing).assign_attrs(units="K")
    assume(abs(ds.AvgSurfT.median() - 260) < 80 or ds.AvgSurfT.isnull().all())
    known = {name: value for name, value in values.items() if name not in FREE}
    est = ds.lsm.estimate(FREE, observed={"AvgSurfT": 0.5}, fixed=known, model=MODELS[0])

    status = est.status.values
    solved = status <= Status.not_identifiable
    present = ds.AvgSurfT.notnull().sum("time").values
    assert (solved <= (present >= len(FREE))).all()
    np.testing.assert_array_equal(status == Status.no_observations, present == 0)
    for name in (*FREE, "cost"):
        np.testing.assert_array_equal(np.isfinite(est[name]), solved, err_msg=name)
    std = np.stack([est[f"{name}_std"].values for name in FREE])
    assert (np.isfinite(std) & (std > 0))[:, status == Status.converged].all()
    assert np.isnan(std)[:, status == Status.at_bound].any(axis=0).all()
    assert np.isinf(std)[:, status == Status.not_identifiable].any(axis=0).all()
    assert np.isnan(std)[:, ~solved].all()
    for name in FREE:
        lower, upper = MODELS[0].parameters[name].bounds
        assert ((est[name] >= lower) & (est[name] <= upper)).values[solved].all()
    # no worse than the truth: it is a minimum, if not always the lowest
    if noise == 0 and kind == "days" and times == 9:
        assert np.isin(status, (0, 1, 2))[present >= 9].all()


# ---------------------------------------------------------------------------- refusals


@pytest.fixture(scope="module")
def good():
    return twin(3, hours=9)


@pytest.mark.parametrize("name", ["SWdown", "Tair", "AvgSurfT"])
@pytest.mark.parametrize("how", REFUSED)
def test_illegal_input_is_refused(good, name, how):
    ds = good.assign(AvgSurfT=good.Tair)
    spoilt = REFUSED[how](ds, name)
    with pytest.raises(LSMError) as error:
        spoilt.lsm.estimate(["albedo"], observed=["AvgSurfT"])
    if how not in ("shuffled", "duplicated", "irregular", "no times", "no time", "renamed"):
        assert name in str(error.value) or how == "chunks"
    if name != "AvgSurfT":
        with pytest.raises(LSMError):
            spoilt.lsm.simulate()
    spoilt.lsm.check()  # never an exception


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda ds: ds.lsm.simulate({"albedo": station([0.1, 0.2])}), "station"),
        (lambda ds: ds.lsm.simulate({"albedo": labelled(["x", "y", "z"])}), "station"),
        (lambda ds: ds.lsm.simulate({"albedo": labelled(LABELS[::-1])}), "station"),
        (lambda ds: ds.assign_coords(station=[1, 2, 3]).lsm.simulate(fitted_of(ds)), "station"),
        (lambda ds: ds.lsm.simulate(depth=[]), "depth"),
        (lambda ds: ds.lsm.simulate(depth=[[0.1, 0.2]]), "depth"),
        (lambda ds: ds.lsm.simulate(depth="deep"), "depth"),
        (lambda ds: ds.lsm.simulate(depth=2.0), "below the bottom"),
        (lambda ds: ds.lsm.simulate(depth=np.nan), "depth"),
        (lambda ds: ds.lsm.simulate(depth=[0.1, 0.1]), "duplicates"),
        (lambda ds: ds.lsm.simulate(outputs=[]), "output"),
        (lambda ds: ds.lsm.simulate(outputs=["Tsoil"]), "'Tsoil' is no output"),
        (lambda ds: ds.lsm.simulate(model="hunag2025"), "unknown model"),
        (lambda ds: ds.lsm.simulate({"albedo": station([0.1, 0.2, 7.0])}), "outside its bounds"),
        (lambda ds: ds.rename(station="parameter").lsm.estimate("albedo"), "parameter"),
        (lambda ds: ds.rename(station="observable").lsm.estimate("albedo"), "observable"),
        (lambda ds: ds.lsm.estimate("albedo", seed=-1), "seed"),
        (lambda ds: ds.lsm.estimate("albedo", max_steps=10**30), "max_steps"),
    ],
)
def test_bad_calls_are_refused(good, call, words):
    with pytest.raises(LSMError, match=re.escape(words)):
        call(good)


LABELS = ["site0000", "site0001", "site0002"]


def station(values):
    return xr.DataArray(values, dims="station")


def labelled(labels):
    return xr.DataArray([0.1, 0.2, 0.3], {"station": labels}, "station")


def fitted_of(ds):
    """Look like an estimate for the stations of `ds`."""
    return xr.Dataset({"albedo": ("station", [0.1, 0.2, 0.3])}, {"station": ds.station})


# ---------------------------------------------------------------------------- odd but legal


def test_depth_may_be_a_dataarray(good):
    plain = good.lsm.simulate(depth=[0.02, 0.1])
    xr.testing.assert_identical(good.lsm.simulate(depth=good.depth), plain)
    cm = xr.DataArray([2.0, 10.0], dims="depth", attrs={"units": "cm"})
    xr.testing.assert_allclose(good.lsm.simulate(depth=cm), plain)


def test_no_stations_at_all(good):
    none = good.isel(station=[])
    assert none.lsm.simulate().Qg.sizes["station"] == 0
    est = none.lsm.estimate(["albedo"], observed=["LWup"])
    assert est.albedo.shape == (0,)
    assert est.status.dtype == np.int8
    assert none.chunk().lsm.estimate(["albedo"], observed=["LWup"]).compute().albedo.shape == (0,)


def test_lazy_parameters_out_of_bounds_give_no_numbers(good):
    """Lazy values cannot be refused before the run, but must not be used either."""
    lazy = {"emissivity": station([0.9, 7.0, 0.95]).chunk(station=3)}
    est = good.lsm.estimate(["albedo"], observed=["LWup"], fixed=lazy).compute()
    assert (np.isnan(est.albedo) == [False, True, False]).all()
    assert est.status[1] > Status.not_identifiable
    assert np.isnan(good.lsm.simulate(lazy).compute().Qg.isel(station=1)).all()
