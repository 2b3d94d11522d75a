"""Observations as towers make them: what they add to an estimate, and what they refuse."""

import json
import re

import numpy as np
import pytest
import xarray as xr
from twins import FREE, assert_identical_numbers, forcing, truth, twin

import xlsm
from xlsm import Observation
from xlsm.errors import DimensionError, LSMError, ParameterError

STATIONS = 2
MODEL = xlsm.Model(xlsm.UniformGrid(0.5, 26))
TRUTH = truth(STATIONS)
SOIL = ["thermal_conductivity", "heat_capacity"]
LAND = {name: TRUTH[name] for name in FREE if name not in SOIL}
CLOSURE = xlsm.Normal(0.9, 0.1)


def off(est, name, true):
    """Distance from the truth in standard errors."""
    return abs((est[name] - true) / est[f"{name}_std"]).values


@pytest.fixture(scope="module")
def tower():
    """Fluxes that see four fifths of what there is, a thermometer 2 cm deeper than stated."""
    outputs = ("SoilTemp", "LWup", "Qh", "Qle")
    ds = twin(STATIONS, noise=0.3, depth=(0.02, 0.12), outputs=outputs)
    attrs = {name: ds[name].attrs for name in ("Qh", "Qle")}
    ds = ds.assign({name: (0.8 * ds[name]).assign_attrs(attrs[name]) for name in attrs})
    return ds.assign_coords(depth=("depth", [0.02, 0.1], ds.depth.attrs))


FREED = ["albedo", "bowen_ratio", *SOIL]
TOLD = {
    "SoilTemp": Observation(0.03, depth_error=(0, 0.02)),
    "LWup": 1.5,
    "Qh": Observation(6.0, closure=CLOSURE),
    "Qle": Observation(6.0, closure=CLOSURE),
}
PLAIN = {"SoilTemp": 0.03, "LWup": 1.5, "Qh": 6.0, "Qle": 6.0}
RUN = {
    "fixed": {name: TRUTH[name] for name in FREE if name not in FREED},
    "model": MODEL,
    "error_bars": "stated",
}
EXPECTED = {name: TRUTH[name] for name in ("albedo", *SOIL)} | {
    "bowen_ratio": 0.7,
    "energy_closure": 0.8,
    "sensor_depth_offset_2": 0.02,
}


@pytest.fixture(scope="module")
def found(tower):
    return tower.lsm.estimate(FREED, observed=TOLD, **RUN)


def test_what_instruments_do_is_found_and_reported(found):
    assert (found.status == 0).all()
    for name, value in EXPECTED.items():
        assert (off(found, name, value) < 3).all(), name
    # both were known to a tenth and to 2 cm
    assert (found.energy_closure_std < 0.03).all()
    assert (found.sensor_depth_offset_2_std < 0.002).all()
    assert "sensor_depth_offset_1" not in found  # its depth is exact
    assert list(found.parameter.values) == [*FREED, "energy_closure", "sensor_depth_offset_2"]
    assert found.energy_closure.units == "1"
    offset = found.sensor_depth_offset_2
    assert offset.units == "m"
    assert offset.long_name == "depth of the thermometer stated at 0.1 m, less that"


def test_what_is_found_goes_on(tower, found, tmp_path):
    """To a simulation and to a store."""
    sim = tower.lsm.simulate(found, outputs="Qh")
    land = found[[*FREED, *RUN["fixed"], "emissivity"]].assign_attrs(model=found.model)
    xr.testing.assert_equal(sim, tower.lsm.simulate(land, outputs="Qh"))  # of all there is
    found.lsm.to_zarr(tmp_path / "est.zarr")
    back = xr.open_zarr(tmp_path / "est.zarr").load()
    assert_identical_numbers(back, found)


@pytest.mark.slow
def test_an_estimate_remembers_how_its_observations_were_compared(tower, found):
    same = tower.lsm.identifiability(found)
    assert same.parameter.values.tolist() == found.parameter.values.tolist()
    for i, name in enumerate(found.parameter.values):
        np.testing.assert_allclose(
            same["std"].isel(parameter=i), found[f"{name}_std"], rtol=1e-6, err_msg=name
        )


def test_figures_say_how_it_was_compared(tower, found):
    figure = tower.isel(station=0).lsm.plot.fit(found.isel(station=0))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert "Sensible heat flux (fitted times energy_closure)" in titles
    assert "Soil temperature at 0.1 m (fitted with uncertain depths)" in titles
    assert "Upwelling longwave radiation" in titles


@pytest.mark.slow
def test_what_is_not_told_is_taken_for_the_land(tower, found):
    taken = tower.lsm.estimate(FREED, observed=PLAIN, **RUN)
    assert "observations" not in taken.attrs
    for name in SOIL:
        bias = abs(taken[name] / TRUTH[name] - 1)
        assert (bias > 3 * abs(found[name] / TRUTH[name] - 1)).all(), name
    assert (taken.chi_square_Qle > 2 * found.chi_square_Qle).all()
    assert (off(taken, "albedo", TRUTH["albedo"]) > 5).all()


@pytest.mark.slow
def test_through_dask(tower, found):
    lazy = tower.chunk(station=1).lsm.estimate(FREED, observed=TOLD, **RUN)
    assert lazy.energy_closure.chunks is not None
    computed = lazy.compute()
    for name, value in found.data_vars.items():
        np.testing.assert_allclose(computed[name], value, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.slow
def test_priors_and_errors_of_depths_count(tower):
    sharp = Observation(6.0, closure=xlsm.LogNormal(0.9, 1.0001))
    both = Observation(0.03, depth_error=0.02)  # one number is for all
    observed = {**TOLD, "SoilTemp": both, "Qh": sharp, "Qle": sharp}
    est = tower.lsm.estimate(FREED, observed=observed, **RUN)
    np.testing.assert_allclose(est.energy_closure, 0.9, rtol=1e-3)
    assert (est.sensor_depth_offset_1_std <= 0.02).all()


@pytest.mark.slow
def test_identifiability_of_a_depth(tower):
    """Before anything is fitted, about depths as stated, in metres."""
    at = {name: value.isel(station=0) for name, value in TRUTH.items()}
    observed = {"SoilTemp": Observation(0.05, depth_error=(0, 0.02)), "LWup": 2.5}
    run = {"free": SOIL, "observed": observed, "model": MODEL}
    one = tower.isel(station=0).drop_vars(["Qh", "Qle"])
    names = [*SOIL, "sensor_depth_offset_2"]
    found = one.lsm.identifiability(at, **run)
    assert found.parameter.values.tolist() == names
    assert "sensor_depth_offset_2: 0 mm, give or take 1" in found.attrs["summary"]
    assert found.relative_std.isnull().values.tolist() == [False, False, True]
    moved = one.lsm.identifiability({**at, "sensor_depth_offset_2": 0.01}, **run)
    assert float(moved.value.sel(parameter=names[-1])) == pytest.approx(0.01)
    # a further thermometer is where it is planned to be
    worth = one.lsm.data_worth(at, candidates={"SoilTemp": [0.3]}, **run)
    assert worth.parameter.values.tolist() == names


# ---------------------------------------------------------------------------- means


@pytest.fixture(scope="module")
def averaged():
    """Means over the hour that ends at each time, of a run in steps of ten minutes."""
    parts = 6
    fine = forcing(None, hours=48 * parts + 1, step="10min")
    true = {name: float(value[0]) for name, value in TRUTH.items()}
    model = xlsm.Model(MODEL.grid, stepping=xlsm.SDIRK2())
    sim = fine.lsm.simulate(true, model=model, depth=[0.02, 0.1], outputs=["SoilTemp", "Qg"])
    means = (0.5 * (sim + sim.shift(time=1))).rolling(time=parts).mean()
    hourly = fine.isel(time=slice(None, None, parts))
    for name in ("SoilTemp", "Qg"):
        hourly[name] = means[name].isel(time=slice(None, None, parts))
        hourly[name].attrs = {"units": sim[name].units, "cell_methods": "area: point time: mean"}
    fixed = {name: true[name] for name in FREE if name not in SOIL}
    return hourly, true, {"fixed": fixed, "model": model, "error_bars": "stated"}


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")  # the last has nothing to fit
@pytest.mark.slow
def test_means_taken_for_instants_bias_an_estimate(averaged):
    """Half an hour late is seven degrees of the daily wave."""
    ds, true, run = averaged
    errors = {"SoilTemp": 0.05, "Qg": 5.0}
    right = ds.lsm.estimate(SOIL, observed=errors, **run)  # their cell_methods say so
    assert json.loads(right.attrs["observations"]) == {n: {"mean": True} for n in errors}
    instants = {name: Observation(error, mean=False) for name, error in errors.items()}
    wrong = ds.lsm.estimate(SOIL, observed=instants, **run)
    for name in SOIL:
        bias = abs(float(right[name]) / true[name] - 1)
        assert bias < 0.04, name  # that of steps of an hour
        assert bias < 0.35 * abs(float(wrong[name]) / true[name] - 1), name
    assert float(right.chi_square_Qg) < 0.1 * float(wrong.chi_square_Qg)
    silent = ds.assign({n: ds[n].assign_attrs(cell_methods="time: point") for n in errors})
    told = {name: Observation(error, mean=True) for name, error in errors.items()}
    assert_identical_numbers(silent.lsm.estimate(SOIL, observed=told, **run), right)
    # no step ends at the first time
    first = ds.assign({n: xr.full_like(ds[n], 290.0).where(ds.time == ds.time[0]) for n in errors})
    status = first.lsm.estimate(SOIL, observed=told, **run).status
    assert int(status) == xlsm.Status.no_observations


# ---------------------------------------------------------------------------- plates


@pytest.mark.slow
def test_a_plate_tells_the_heat_capacity():
    """Between thermometers only the diffusivity is known; a flux at its depth makes it two."""
    true = {"thermal_conductivity": 1.1, "heat_capacity": 2.3e6}
    ds = forcing(None, hours=72)
    plate = 0.045  # half-way between two nodes of the default grid
    depth = [0.02, 0.04, 0.05, 0.1, 0.2]
    sim = ds.lsm.simulate(true, depth=depth, outputs=["SoilTemp", "AvgSurfT"])
    above, below = (sim.SoilTemp.sel(depth=z, drop=True) for z in (0.04, 0.05))
    flux = true["thermal_conductivity"] * (above - below) / 0.01
    flux += np.random.default_rng(5).standard_normal(flux.shape)
    ds = ds[[]].assign(
        AvgSurfT=sim.AvgSurfT,
        SoilTemp=sim.SoilTemp.sel(depth=[0.02, 0.1, 0.2]),
        Qg=flux.assign_attrs(units="W m-2"),
    )
    model = xlsm.Model(surface=xlsm.ObservedSurface("AvgSurfT"))
    run = {"fixed": {"deep_temperature": 288.15}, "model": model}
    with pytest.raises(ParameterError, match="or observe Qg"):
        ds.lsm.estimate(SOIL, observed={"SoilTemp": 0.05}, **run)
    errors = {"SoilTemp": 0.05, "Qg": Observation(1.0, depth=plate)}
    est = ds.lsm.estimate(SOIL, observed=errors, **run)
    assert int(est.status) == 0
    for name in SOIL:
        assert abs(float(est[name]) / true[name] - 1) < 0.01, name
    # without what is stored above it, the soil would seem to hold less
    bare = ds.lsm.estimate(SOIL, observed={"SoilTemp": 0.05, "Qg": 1.0}, **run)
    assert float(bare.heat_capacity) < 0.9 * true["heat_capacity"]
    seen = ds.lsm.identifiability(est).attrs["observed"]
    assert seen == "SoilTemp at 0.02, 0.1, 0.2 m (0.05 K), Qg at 0.045 m (1 W m-2)"


def test_a_plate_outside_the_column_is_refused(tower):
    ds = tower.assign(Qg=tower.LWup - 400)
    words = r"heat flux plate at 1.5 m is outside the soil column, 0 to 1 m: give its depth"
    with pytest.raises(DimensionError, match=words):
        ds.lsm.estimate("albedo", observed={"Qg": Observation(10, depth=1.5)})


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": -0.05}, "depth of an Observation must be a number of metres, positive down"),
        ({"depth": "5 cm"}, "got '5 cm'"),
        ({"mean": "time"}, "mean of an Observation must be True or False, got 'time'"),
        ({"depth_error": -0.01}, "depth_error of an Observation must be a number of metres"),
        ({"depth_error": ()}, "or one for each depth, zero where a depth is exact; got ()"),
        ({"depth_error": "1 cm"}, "got '1 cm'"),
        ({"closure": 0.8}, "closure of an Observation must be an xlsm.Normal"),
        (
            {"closure": xlsm.Normal(xr.DataArray([0.8]), 0.1)},
            "must be the same everywhere: give",
        ),
    ],
)
def test_what_is_no_observation(options, words):
    with pytest.raises(ParameterError, match=re.escape(words)):
        Observation(10.0, **options)


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        ({"LWup": Observation(0)}, "standard error of LWup must be a positive number in W m-2"),
        ({"LWup": Observation(5, depth=0.05)}, "depth= is for Qg; leave it out for LWup"),
        ({"SoilTemp": Observation(depth=0.05)}, "its depths are its coordinate 'depth'"),
        ({"LWup": Observation(5, depth_error=0.01)}, "depth_error= is for SoilTemp, leave it out"),
        ({"LWup": Observation(5, closure=CLOSURE)}, "closure= is for Qh, Qle, Qturb, leave it out"),
        (
            {"SoilTemp": Observation(0.1, depth_error=(0.01,))},
            "depth_error of SoilTemp is given for 1 depths, but SoilTemp is observed at 2",
        ),
        (
            {"Qh": Observation(20, closure=CLOSURE), "Qle": 20},
            "Qh and Qle come from one instrument, with one energy closure: give all of them the",
        ),
        (
            {"Qturb": Observation(20, closure=xlsm.Normal(3.0, 0.1))},
            "energy_closure: the middle of prior=Normal(mean=3.0, std=0.1) must be inside",
        ),
        ({"Qx": Observation(1)}, "'Qx' is no observable."),
    ],
)
def test_options_that_do_not_belong(tower, observed, words):
    ds = tower.assign(Qturb=(tower.Qh + tower.Qle).assign_attrs(units="W m-2"))
    fixed = {"bowen_ratio": 0.7} if {"Qh", "Qle"} & set(observed) else None
    with pytest.raises(LSMError, match=re.escape(words)):
        ds.lsm.estimate("albedo", observed=observed, fixed=fixed)


def test_a_thermometer_at_the_surface_is_exact(tower):
    ds = tower.assign_coords(depth=[0.0, 0.1])
    words = r"at 0 m is at the end of the soil column.*exact, depth_error=\(0\.0, 0\.01\)$"
    with pytest.raises(ParameterError, match=words):
        ds.lsm.estimate("albedo", observed={"SoilTemp": Observation(0.1, depth_error=0.01)})


SEPARATE = xlsm.Model(turbulence=xlsm.SeparateExchange())


@pytest.mark.parametrize(
    ("free", "options", "words"),
    [
        (
            ["albedo", "heat_transfer_coefficient", "bowen_ratio"],
            {},
            "all else sees heat_transfer_coefficient only times (1 + 1/bowen_ratio): observe one "
            "of them, or fix one of these. If you insist, give bowen_ratio a prior",
        ),
        (
            ["combined_transfer_coefficient", "bowen_ratio"],
            {},
            "only they depend on it: observe one of them, or leave it out",
        ),
        (
            ["heat_transfer_coefficient", "bowen_ratio"],
            {"model": SEPARATE},
            "all else sees heat_transfer_coefficient only times",
        ),
    ],
)
def test_a_bowen_ratio_that_nothing_tells_is_refused(tower, free, options, words):
    with pytest.raises(ParameterError, match=re.escape(words)):
        tower.lsm.estimate(free, observed="LWup", **options)


@pytest.mark.slow
def test_who_insists_on_the_bowen_ratio(tower):
    """Where the coefficient is known it is told by temperature; with a prior by that."""
    h, true = 9.0, TRUTH["combined_transfer_coefficient"]
    run = {"observed": {"LWup": 1.5}, "model": MODEL, "error_bars": "stated"}
    known = {n: v for n, v in TRUTH.items() if n != "combined_transfer_coefficient"}
    fixed = {**known, "heat_transfer_coefficient": h}
    est = tower.lsm.estimate("bowen_ratio", fixed=fixed, **run)
    assert (off(est, "bowen_ratio", 1 / (true / h - 1)) < 3).all()
    free = {
        "heat_transfer_coefficient": xlsm.Parameter(),
        "bowen_ratio": xlsm.Parameter(prior=xlsm.LogNormal(1.0, 1.5)),
    }
    est = tower.lsm.estimate(free, fixed=known, **run)
    np.testing.assert_allclose(est.bowen_ratio_std / est.bowen_ratio, np.log(1.5), rtol=1e-2)
