"""Sensible and latent heat in the model: limits, roots, derivatives, twins, refusals."""

import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
import xarray as xr
from cases import run, weather
from derivatives import COUNT, agree, close, forward, numbers
from twins import forcing

import xlsm
from xlsm.errors import MissingVariableError, ModelError, ParameterError
from xlsm.inference.problem import Problem
from xlsm.model.aerodynamics import BulkTransfer, ConstantTransfer, WindTransfer
from xlsm.model.bulk import SeparateExchange
from xlsm.model.humidity import saturation_specific_humidity
from xlsm.model.latent import (
    BowenRatio,
    GivenLatent,
    MoistureAvailability,
    NoLatent,
    PriestleyTaylor,
    SurfaceResistance,
)
from xlsm.model.stability import Louis, MoninObukhov, Neutral

GRID, DEEP = xlsm.UniformGrid(0.1, 6), xlsm.UniformGrid(0.4, 9)  # few nodes compile quickly
STATION = partial(BulkTransfer, 10.0, 2.0)
NEUTRAL, LOUIS = STATION(stability=Neutral()), STATION(stability=Louis())
MONIN_OBUKHOV = STATION(stability=MoninObukhov())


def model(sensible, latent, **pieces):
    return xlsm.Model(**{"grid": GRID} | pieces, turbulence=SeparateExchange(sensible, latent))


def air(times, step=3600.0):
    """Weather with wind and humidity."""
    hour = np.arange(times) * step / 3600
    return weather(times, step) | {
        "Wind": 2.5 + 2 * np.sin(hour / 3),
        "Qair": 0.006 + 0.002 * np.sin(hour / 11),
        "PSurf": np.full(times, 96e3),
        "Qle": 60 * np.maximum(np.sin((hour - 6) * np.pi / 12), 0.0),
    }


def series(of, times=49):
    """What a model reads of the weather."""
    return {name: air(times)[name] for name in of.forcing}


def simulate(of, parameters=(), times=49, **changed):
    given = {name: np.asarray(values) for name, values in (series(of, times) | changed).items()}
    return run(of, dict(parameters), given)


# Two ways to the same fluxes


def fluxes(turbulence, values):
    """At noon, one surface temperature."""
    with jax.enable_x64(True):
        now = {name: jnp.asarray(series[12]) for name, series in air(13).items()}
        given = {name: jnp.asarray(value) for name, value in values.items()}
        out = turbulence.fluxes(jnp.asarray(299.0), jnp.asarray(450.0), now, given)
        return {name: np.asarray(value) for name, value in out.items()}


def test_a_bowen_ratio_makes_the_combined_exchange():
    given = {"heat_transfer_coefficient": np.array([5.0, 20.0, 80.0]), "bowen_ratio": 0.4}
    combined = simulate(xlsm.Model(GRID, turbulence=xlsm.ConstantExchange()), given)
    separate = simulate(model(ConstantTransfer(), BowenRatio()), given)
    assert set(separate) == set(combined)
    for name, values in combined.items():
        np.testing.assert_allclose(separate[name], values, rtol=0, atol=1e-9, err_msg=name)

    combined = {"calm_transfer_coefficient": 6.0, "wind_transfer_coefficient": 9.0}
    sensible = {"calm_heat_transfer_coefficient": 2.0, "wind_heat_transfer_coefficient": 3.0}
    one = fluxes(xlsm.WindExchange(), combined | {"bowen_ratio": 0.5})
    other = fluxes(SeparateExchange(WindTransfer(), BowenRatio()), sensible | {"bowen_ratio": 0.5})
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=1e-13)


def test_a_given_latent_heat_is_the_one_that_comes_out():
    of = model(ConstantTransfer(), MoistureAvailability())
    first = simulate(of)
    again = model(ConstantTransfer(), GivenLatent())
    second = simulate(again, Qle=first["Qle"])
    assert np.ptp(first["Qle"]) > 50
    for name in first:
        np.testing.assert_allclose(second[name], first[name], rtol=0, atol=1e-9, err_msg=name)


def test_a_surface_that_does_not_evaporate_is_dry_and_hot():
    dry_air = {"Qair": np.full(49, 1e-4)}  # no dew
    dry = simulate(model(WindTransfer(), NoLatent()))
    values = {"surface_resistance": np.array([0.1, 100.0, 1e11])}
    wet, moist, sealed = (
        {name: series[..., i] for name, series in out.items()}
        for out in [simulate(model(WindTransfer(), SurfaceResistance()), values, **dry_air)]
        for i in range(3)
    )
    np.testing.assert_allclose(sealed["AvgSurfT"], dry["AvgSurfT"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(sealed["Qle"], 0, atol=1e-4)
    day = slice(34, 40)
    assert np.all(wet["AvgSurfT"][day] < moist["AvgSurfT"][day] - 1)
    assert np.all(moist["AvgSurfT"][day] < dry["AvgSurfT"][day] - 1)


SENSIBLE = (ConstantTransfer(), WindTransfer(), NEUTRAL, LOUIS, MONIN_OBUKHOV)
LATENT = (
    NoLatent(),
    GivenLatent(),
    BowenRatio(),
    SurfaceResistance(),
    MoistureAvailability(),
    PriestleyTaylor(),
)


@pytest.mark.parametrize("latent", LATENT, ids=lambda piece: type(piece).__name__)
def test_the_fluxes_add_up(latent):
    for sensible in SENSIBLE:
        of = model(sensible, latent)
        assert of.turbulence.separates(())
        out = fluxes(of.turbulence, {n: spec.default for n, spec in of.parameters.items()})
        assert out["Qturb"] == out["Qh"] + out["Qle"]
        assert out["Qh"] > 0


def test_text_and_back():
    of = model(STATION(displacement=0.3, stability=MoninObukhov(8)), PriestleyTaylor())
    assert xlsm.Model.from_json(of.to_json()) == of


# The surface temperature


def extremes(count, seed=0):
    """Weather from calm polar nights to storms over hot deserts, and columns under it."""
    random = np.random.default_rng(seed)
    kelvin, pressure = random.uniform(230, 320, count), random.uniform(6e4, 1.05e5, count)
    calm, humid, dark = random.random((3, count)) < 0.25
    now = {
        "SWdown": np.where(dark, 0.0, random.uniform(0, 1100, count)),
        "LWdown": random.uniform(120, 480, count),
        "Tair": kelvin,
        "Wind": np.where(calm, 0.0, 10 ** random.uniform(-2, 1.5, count)),
        "PSurf": pressure,
        "Qair": np.asarray(saturation_specific_humidity(kelvin, pressure))
        * np.where(humid, 1.0, random.uniform(0, 1, count)),
        "Qle": random.uniform(-50, 300, count),
    }
    column = {
        "offset": kelvin + random.normal(0, 8, count),
        "slope": 10 ** random.uniform(-3, -0.3, count),
        "guess": kelvin + random.normal(0, 5, count),
    }
    return now, column


@partial(quick.jit, static_argnums=0)
def _close(of, values, now, column):
    return of.close_surface(values, now, **column)


@partial(quick.jit, static_argnums=0)
def _missing(of, values, now, column, surface):
    """Flux that is missing in the balance at a surface temperature (W m-2); rises with it."""
    needed = (surface - column["offset"]) / column["slope"]
    return needed - of.fluxes(surface, now, values)["Qg"]


@pytest.mark.parametrize(
    ("sensible", "latent"),
    [
        (WindTransfer(), PriestleyTaylor()),
        (NEUTRAL, GivenLatent()),
        (LOUIS, MoistureAvailability()),
        (MONIN_OBUKHOV, SurfaceResistance()),
    ],
    ids=lambda piece: type(getattr(piece, "stability", piece)).__name__,
)
@pytest.mark.usefixtures("x64")
def test_the_balance_has_one_root_and_it_is_found(sensible, latent):
    of, count = model(sensible, latent), 2000
    now, column = extremes(count)
    now = {name: now[name] for name in of.forcing}
    values = {name: np.full(count, spec.default) for name, spec in of.parameters.items()}
    surface, flux = _close(of, values, now, column)
    assert np.all((surface > 160) & (surface < 400))
    # what is left is the step of 1e-9 K at which the search ends, squared, and round-off
    assert np.abs(_missing(of, values, now, column, surface)).max() < 1e-8
    needed = (surface - column["offset"]) / column["slope"]
    np.testing.assert_allclose(flux, needed, rtol=0, atol=1e-8)
    for away in np.concatenate([-np.geomspace(1e-3, 60, 12), np.geomspace(1e-3, 100, 12)]):
        missing = _missing(of, values, now, column, surface + away)
        assert np.all(np.sign(missing) == np.sign(away))


@pytest.mark.usefixtures("x64")
def test_the_surface_cools_without_a_jump():
    """Into a clear calm night, through all that is stable."""
    of, count = model(MONIN_OBUKHOV, SurfaceResistance()), 2000
    sinking = np.linspace(1, 0, count)
    now = {
        "SWdown": 300 * np.maximum(sinking - 0.7, 0),
        "LWdown": 220 + 80 * sinking,
        "Tair": np.full(count, 285.0),
        "Wind": 3 * sinking,
        "PSurf": np.full(count, 1e5),
        "Qair": np.full(count, 0.006),
    }
    column = {
        "offset": 275 + 12 * sinking,
        "slope": np.full(count, 0.1),
        "guess": np.full(count, 285.0),
    }
    values = {name: np.full(count, spec.default) for name, spec in of.parameters.items()}
    surface, _ = _close(of, values, now, column)
    assert surface[0] > 284
    assert surface[-1] < 272
    assert np.abs(np.diff(surface)).max() < 0.1


# Derivatives

FREE = ("albedo", "roughness_length", "log_roughness_ratio", "surface_resistance")
ERRORS = {"AvgSurfT": 0.5, "Qh": 20.0, "Qle": 20.0}


def morning(of, free):
    hours = {name: values[5:10] for name, values in series(of).items()}
    start = {"initial_temperature": 287.0}
    return numbers(of, free, hours, depths=(0.0, 0.05), errors=ERRORS, fixed=start)


@pytest.mark.slow  # every day a twin is found again; tests/test_surface.py has all pieces at once
@pytest.mark.usefixtures("x64")
def test_all_routes_to_a_derivative_agree():
    of = model(WindTransfer(), PriestleyTaylor())
    free = ("albedo", *(spec.name for spec in of.turbulence.parameters))
    agree(of, free, morning(of, free))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_derivatives_through_monin_obukhov():
    of = model(MONIN_OBUKHOV, SurfaceResistance())
    problem, given = Problem(of, FREE, tuple(ERRORS)), morning(of, FREE)
    point = np.random.default_rng(2).uniform(-1, 1, (len(FREE), COUNT))
    gradient = forward(problem, given, point).gradient
    assert np.all(np.abs(gradient) > 0)
    step = 1e-4
    for i in range(len(FREE)):
        shift = np.zeros_like(point)
        shift[i] = step
        up, down = (forward(problem, given, x).cost for x in (point + shift, point - shift))
        close(((up - down) / (2 * step))[None], gradient[i][None], 1e-5)


NIGHT = {"SWdown": 0.0, "LWdown": 180.0, "Tair": 285.0, "Wind": 0.0, "Qair": 0.004}
DAY = {"SWdown": 900.0, "LWdown": 380.0, "Tair": 310.0, "Wind": 4.0, "Qair": 0.01}
WEATHERS = {
    "calm night": NIGHT,
    "calm noon": DAY | {"Wind": 0.0},
    "no vapour": DAY | {"Qair": 0.0},
    "saturated": NIGHT | {"Qair": float(saturation_specific_humidity(285.0, 96e3)), "Wind": 2.0},
    "storm": DAY | {"Wind": 40.0},
}


@pytest.mark.usefixtures("x64")
def test_derivatives_are_finite_at_the_extremes():
    of = model(MONIN_OBUKHOV, SurfaceResistance())
    problem = Problem(of, FREE, tuple(ERRORS))
    for name, now in WEATHERS.items():
        extreme = {n: np.full(5, (now | {"PSurf": 96e3})[n]) for n in of.forcing}
        # at the first time surface and air are of one temperature
        start = {"initial_temperature": now["Tair"]}
        given = numbers(of, FREE, extreme, depths=(0.0, 0.05), errors=ERRORS, fixed=start)
        for middle in (-12.0, 0.0, 12.0):  # of the unbounded line: both ends of all bounds
            for part in forward(problem, given, np.full((len(FREE), COUNT), middle)):
                assert np.all(np.isfinite(part)), (name, middle)


# Through ds.lsm


def dataset(hours=36):
    ds = forcing(hours=hours)
    more = air(hours)
    for name, units in (("Wind", "m s-1"), ("Qair", "kg kg-1"), ("PSurf", "Pa"), ("Qle", "W m-2")):
        ds[name] = ("time", more[name], {"units": units})
    return ds


def test_a_twin_gives_its_parameters_back():
    ds, of = dataset(), model(LOUIS, SurfaceResistance(), grid=DEEP)
    truth = {"roughness_length": 0.09, "surface_resistance": 230.0}
    observed = ds.lsm.simulate(truth, model=of, outputs=["AvgSurfT", "Qh", "Qle"])
    ds = ds.drop_vars("Qle").merge(observed)
    est = ds.lsm.estimate(list(truth), observed=["AvgSurfT", "Qh", "Qle"], model=of)
    assert est.status == xlsm.Status.converged
    for name, value in truth.items():
        np.testing.assert_allclose(est[name], value, rtol=1e-6)
        assert 0 < est[f"{name}_std"] < 0.2 * value


@pytest.mark.skipif("XLSM_DATA" not in os.environ, reason="XLSM_DATA is not set: no real data")
def test_energy_closes_over_a_real_week():
    ds = xlsm.tutorial.open_dataset("US-ARM-SGP_2017-06").astype(float)
    ds = ds.sel(time=slice("2017-06-05", "2017-06-11"))
    of = xlsm.Model(
        surface=xlsm.SkinLayer(), turbulence=SeparateExchange(MONIN_OBUKHOV, SurfaceResistance())
    )
    sim = ds.lsm.simulate({"deep_temperature": 297.0}, model=of)
    up = sim.SWup + sim.LWup + sim.Qh + sim.Qle + sim.Qg
    xr.testing.assert_allclose(ds.SWdown + ds.LWdown, up, rtol=0, atol=1e-9)
    # nobody has fitted anything: some grass on some soil
    difference = sim.AvgSurfT - ds.RadT
    assert abs(difference.mean()) < 5
    assert difference.std() < 5


# Refusals


def test_what_is_missing_is_named():
    of = model(LOUIS, SurfaceResistance(), grid=DEEP)
    for name in ("Wind", "PSurf", "Qair"):
        with pytest.raises(MissingVariableError, match=rf"{name}[\s\S]* needs it"):
            dataset().drop_vars(name).lsm.simulate(model=of)
    # and no more is asked for than a scheme needs
    dry = dataset()[["SWdown", "LWdown", "Tair"]]
    dry.lsm.simulate(model=model(ConstantTransfer(), NoLatent(), grid=DEEP), outputs="Qh")


def test_a_roughness_above_the_sensors_is_refused():
    of = model(STATION(displacement=1.5), NoLatent())
    with pytest.raises(ParameterError) as error:
        dataset().lsm.simulate({"roughness_length": 0.5}, model=of)
    for part in (
        "roughness_length = 0.5 is outside its bounds",
        "to 0.25 m",
        "half the height of the lower sensor above the displacement height of 1.5 m",
    ):
        assert part in str(error.value)


def test_pieces_of_another_kind_are_refused():
    with pytest.raises(ModelError, match=r"sensible must be one of ConstantTransfer\(\)"):
        SeparateExchange(sensible=NoLatent())
    with pytest.raises(ModelError, match=r"latent must be one of .*PriestleyTaylor\(\); got 'dry'"):
        SeparateExchange(latent="dry")
