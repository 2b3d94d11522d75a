"""Skin, sources of heat, exchange with the wind, and the roots that balance them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from cases import run, weather
from derivatives import COUNT, agree, numbers
from scipy.optimize import brentq
from twins import forcing

import xlsm
from xlsm.errors import MissingVariableError, ModelError, ParameterError
from xlsm.model.roots import bracketed, newton

GRID = xlsm.UniformGrid(0.5, 26)
LAND = {"thermal_conductivity": 0.8, "heat_capacity": 2.2e6, "deep_temperature": 289.0}


def windy(times):
    """Weather with a wind that drops to calm."""
    hour = np.arange(times)
    return weather(times) | {"Wind": 4 * np.maximum(np.sin(hour / 5), 0.0)}


# ---------------------------------------------------------------------------- skin


def test_a_skin_of_large_conductivity_is_the_bare_surface():
    conductivity = np.array([1e3, 1e4, 1e5, 1e6, 1e9])
    given = LAND | {"skin_conductivity": conductivity}
    skin = run(xlsm.Model(GRID, surface=xlsm.SkinLayer()), given, weather(25), depths=[0.0, 0.1])
    bare = run(xlsm.Model(GRID), LAND, weather(25), depths=[0.0, 0.1])
    for name in ("SoilTemp", "AvgSurfT", "Qg", "LWup"):
        apart = np.abs(skin[name] - bare[name][..., None])
        distance = apart.reshape(-1, conductivity.size).max(axis=0)
        assert distance[0] > 1e-3
        # the distance goes with 1 / conductivity
        slope = np.polyfit(np.log(conductivity[:4]), np.log(distance[:4]), 1)[0]
        assert slope == pytest.approx(-1, abs=0.01), name
        assert distance[-1] < 1e-5


@pytest.fixture(scope="module")
def skin():
    """Stations under a skin, with wind and a source of heat, at all nodes."""
    surface = xlsm.SkinLayer(sources=("Qanth",))
    model = xlsm.Model(GRID, surface=surface, turbulence=xlsm.WindExchange())
    series = windy(49) | {"Qanth": 30 + 20 * np.cos(np.arange(49) / 4)}
    given = LAND | {
        "skin_conductivity": np.array([2.0, 15.0, 800.0]),
        "calm_transfer_coefficient": np.array([3.0, 0.01, 10.0]),
        "wind_transfer_coefficient": np.array([2.0, 10.0, 6.0]),
        "bowen_ratio": np.array([0.3, 1.0, 5.0]),
    }
    return series, given, run(model, given, series, depths=GRID.node_depths)


def test_heat_passes_through_the_skin_by_its_conductivity(skin):
    _, given, out = skin
    passed = given["skin_conductivity"] * (out["AvgSurfT"] - out["SoilTemp"][:, 0])
    np.testing.assert_allclose(out["Qg"], passed, rtol=0, atol=1e-9)
    assert np.abs(out["AvgSurfT"] - out["SoilTemp"][:, 0]).max() > 5


def test_energy_closes_over_a_skin(skin):
    series, _, out = skin
    net = series["SWdown"][:, None] - out["SWup"] + series["LWdown"][:, None] - out["LWup"]
    net += series["Qanth"][:, None]
    np.testing.assert_allclose(net, out["Qh"] + out["Qle"] + out["Qg"], rtol=0, atol=1e-10)
    owned = GRID.thicknesses.copy()
    owned[-1] = 0.0
    heat = LAND["heat_capacity"] * np.tensordot(owned, out["SoilTemp"], axes=(0, 1))
    gradient = (out["SoilTemp"][:, -2] - out["SoilTemp"][:, -1]) / GRID.spacing
    flow = 3600 * (out["Qg"] - LAND["thermal_conductivity"] * gradient)[1:]
    np.testing.assert_allclose(np.diff(heat, axis=0), flow, rtol=0, atol=1e-9 * np.abs(flow).sum())
    assert np.abs(flow).max() > 1e5


def test_wind_and_bowen_ratio_make_the_turbulent_fluxes(skin):
    series, given, out = skin
    coefficient = (
        given["calm_transfer_coefficient"]
        + given["wind_transfer_coefficient"] * (series["Wind"][:, None])
    )
    expected = coefficient * (out["AvgSurfT"] - series["Tair"][:, None])
    np.testing.assert_allclose(out["Qturb"], expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(out["Qh"] + out["Qle"], expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(out["Qh"], given["bowen_ratio"] * out["Qle"], rtol=0, atol=1e-10)


# ---------------------------------------------------------------------------- sources


def test_a_source_is_worth_as_much_longwave_as_the_surface_absorbs():
    series, emissivity = weather(25), 0.9
    given = LAND | {"emissivity": emissivity}
    heated = xlsm.Model(GRID, surface=xlsm.BareSurface(sources=("Qanth",)))
    assert heated.forcing == ("SWdown", "LWdown", "Qanth", "Tair")
    heat = 40 + 30 * np.sin(np.arange(25) / 3)
    warmer = run(heated, given, series | {"Qanth": heat})
    more_sky = series | {"LWdown": series["LWdown"] + heat / emissivity}
    same = run(xlsm.Model(GRID), given, more_sky)
    plain = run(xlsm.Model(GRID), given, series)
    for name in ("AvgSurfT", "Qg", "Qturb"):
        np.testing.assert_allclose(warmer[name], same[name], rtol=0, atol=1e-9, err_msg=name)
        assert np.abs(warmer[name] - plain[name]).max() > 0.5


@pytest.mark.parametrize("surface", [xlsm.BareSurface, xlsm.SkinLayer])
def test_missing_sources_are_refused_by_name(surface):
    ds = forcing(hours=3)
    model = xlsm.Model(surface=surface(sources=["Qanth"]))
    with pytest.raises(MissingVariableError, match=rf"Qanth.*\({surface.__name__} needs it"):
        ds.lsm.simulate(model=model)
    unknown = xlsm.Model(surface=surface(sources=("Qhuman",)))
    with pytest.raises(MissingVariableError, match=rf"'Qhuman'.*\({surface.__name__} needs it"):
        ds.assign(Qhuman=ds.Tair).lsm.simulate(model=unknown)
    with pytest.raises(ModelError, match="a tuple of names"):
        surface(sources="Qanth")
    none = ds.assign(Qanth=xr.zeros_like(ds.SWdown))
    some = ds.assign(Qanth=xr.full_like(ds.SWdown, 50.0))
    warm, cold = (case.lsm.simulate(model=model).AvgSurfT for case in (some, none))
    assert (warm[1:] > cold[1:] + 0.3).all()


# ---------------------------------------------------------------------------- wind


def test_without_its_wind_coefficient_the_exchange_is_constant():
    calm = xlsm.Model(GRID, turbulence=xlsm.WindExchange())
    given = LAND | {"bowen_ratio": 0.7}
    constant = run(xlsm.Model(GRID), given | {"combined_transfer_coefficient": 12.0}, weather(25))
    still = {"calm_transfer_coefficient": 12.0, "wind_transfer_coefficient": 1e-14}
    zero = run(calm, given | still, windy(25))
    both = {"calm_transfer_coefficient": 12.0, "wind_transfer_coefficient": 7.0}
    no_wind = run(calm, given | both, windy(25) | {"Wind": np.zeros(25)})
    for name in constant:
        for other in (zero, no_wind):
            np.testing.assert_allclose(other[name], constant[name], rtol=0, atol=1e-9)


def test_wind_is_needed_and_its_own_parameters():
    ds = forcing(hours=3)
    model = xlsm.Model(turbulence=xlsm.WindExchange())
    with pytest.raises(MissingVariableError, match=r"Wind.*\(WindExchange needs it"):
        ds.lsm.simulate(model=model)
    with pytest.raises(ParameterError, match="'combined_transfer_coefficient' is no parameter"):
        ds.lsm.simulate({"combined_transfer_coefficient": 20.0}, model=model)


# ---------------------------------------------------------------------------- all together


@pytest.mark.usefixtures("x64")
def test_derivatives_agree_through_all_pieces_at_once():
    model = xlsm.Model(
        xlsm.StretchedGrid(0.5, 7, first=0.02),
        surface=xlsm.SkinLayer(sources=("Qanth",)),
        turbulence=xlsm.WindExchange(),
        bottom=xlsm.AnnualTemperature(),
        initial=xlsm.ObservedInitial((0.05, 0.3)),
    )
    free = (
        "albedo",
        "skin_conductivity",
        "calm_transfer_coefficient",
        "wind_transfer_coefficient",
        "bowen_ratio",
        "thermal_conductivity",
        "heat_capacity",
        "deep_temperature",
        "deep_temperature_amplitude",
        "deep_temperature_day",
    )
    series = {name: values[6:] for name, values in windy(14).items()}
    series["Wind"][2] = 0.0
    series |= {"Qanth": np.full(8, 20.0), "YearFraction": 0.3 + np.arange(8) / 8766}
    observed = 288 + np.random.default_rng(2).uniform(-3, 3, (2, COUNT))
    start = model.initial.digest(model, observed)
    errors = {"SoilTemp": 0.1, "AvgSurfT": 0.5, "LWup": 5.0, "Qh": 20.0, "Qg": 10.0}
    depths = [0.05, 0.3]
    data = numbers(model, free, series, depths=depths, errors=errors, start=start)
    agree(model, free, data, in_vmap=True)


# ---------------------------------------------------------------------------- roots

#: Functions that are negative far below a place and positive far above it.
NASTY = {
    "line": lambda u: u,
    "steep": lambda u: 1e6 * u,
    "nearly flat": lambda u: 1e-6 * u,
    "cubic": lambda u: u**3,
    "kink": lambda u: jnp.where(u < 0, 0.01 * u, 100 * u),
    "other kink": lambda u: jnp.where(u < 0, 100 * u, 0.01 * u),
    "saturating": lambda u: jnp.tanh(u / 0.5),
    "steps": lambda u: u + 0.999 * jnp.sin(u),
    "jump": lambda u: u + jnp.where(u < 0, -1.0, 1.0),
    "exponential": lambda u: jnp.expm1(u / 2),
    "cube root": lambda u: jnp.sign(u) * jnp.cbrt(jnp.abs(u) + 1e-12) - jnp.sign(u) * 1e-4,
}
PLACES = np.array([291.3, 290.0, 250.0, 340.0, 293.9, 288.0, 210.0, 330.0, 297.0, 301.0, 285.5])
GUESS = np.full(len(NASTY), 290.0)


def nasty(which, place, point):
    values = jnp.stack([function(point - place) for function in NASTY.values()])
    return jnp.take_along_axis(values, which[None], axis=0)[0]


@jax.jit
def find(which, place, guess):
    return bracketed(functools.partial(nasty, which, place), guess)


@pytest.mark.usefixtures("x64")
def test_nasty_roots_are_those_of_brentq():
    roots = np.asarray(find(np.arange(len(NASTY)), PLACES, GUESS))
    for (name, function), place, root in zip(NASTY.items(), PLACES, roots, strict=True):
        peer = place + brentq(function, -90, 110, xtol=1e-12, maxiter=1000)
        assert root == pytest.approx(peer, abs=1e-8), name


@pytest.mark.usefixtures("x64")
def test_a_root_does_not_depend_on_its_neighbours():
    which = np.arange(len(NASTY))
    roots = np.asarray(find(which, PLACES, GUESS))
    order = np.random.default_rng(0).permutation(which)
    np.testing.assert_array_equal(find(which[order], PLACES[order], GUESS[order]), roots[order])
    # neighbours that are nothing, and one that is far away
    for i in which:
        places = np.where(which == i, PLACES, np.nan)
        places[i - 1] = 2000.0
        found = np.asarray(find(which, places, GUESS))
        assert found[i] == roots[i]
        assert np.isnan(found[[k for k in which if k not in (i, (i - 1) % len(which))]]).all()
    guesses = np.where(which == 3, np.nan, GUESS)
    np.testing.assert_array_equal(find(which, PLACES, guesses), np.where(which == 3, np.nan, roots))


@pytest.mark.usefixtures("x64")
def test_where_there_is_no_root_there_is_no_number():
    # a function that is positive, or negative, everywhere
    lost = jax.jit(lambda sign, x: bracketed(lambda t: sign * (1 + (t / 100) ** 2), x))
    assert np.isnan(lost(np.array([1.0, -1.0]), np.array([290.0, 290.0]))).all()


@pytest.mark.usefixtures("x64")
def test_newton_finds_a_balance_from_far_away():
    # offset, K m2 W-1 between column and sky, absorbed radiation, exchange with air of 285 K
    offset = np.array([280.0, 300.0, 285.0, 270.0, 290.0])
    slope = np.array([0.0, 0.02, 0.5, 2.0, 2.0])
    absorbed = np.array([400.0, 900.0, 1300.0, 150.0, 1300.0])
    exchange = np.array([20.0, 5.0, 0.1, 100.0, 0.1])

    def excess(offset, slope, absorbed, exchange, t):
        return t - offset - slope * (absorbed - 5.67e-8 * t**4 - exchange * (t - 285.0))

    for away in (-100.0, 0.0, 100.0):
        function = functools.partial(excess, offset, slope, absorbed, exchange)
        roots = jax.jit(lambda guess, function=function: newton(function, guess))(offset + away)
        for i, root in enumerate(roots):
            own = (offset[i], slope[i], absorbed[i], exchange[i])
            peer = brentq(lambda t, own=own: excess(*own, t), 50, 1000, xtol=1e-12)
            assert float(root) == pytest.approx(peer, abs=1e-9)


@dataclasses.dataclass(frozen=True)
class NotSaidToBeLinear(xlsm.ConstantExchange):
    """A stand-in piece: the usual exchange, by the way of those that are not linear."""

    linear = False


def test_both_ways_to_balance_the_surface_agree():
    land = LAND | {"thermal_conductivity": np.array([0.1, 1.0, 6.0])}
    a, b = (
        run(xlsm.Model(GRID, turbulence=turbulence), land, weather(25))
        for turbulence in (xlsm.ConstantExchange(), NotSaidToBeLinear())
    )
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.usefixtures("x64")
def test_the_balance_has_the_same_derivatives_either_way():
    forcing = {name: np.float64(values[12]) for name, values in weather(13).items()}
    names = ("albedo", "emissivity", "combined_transfer_coefficient", "skin_conductivity")

    def balance(turbulence, values):
        model = xlsm.Model(surface=xlsm.SkinLayer(), turbulence=turbulence)
        *given, offset, slope = values
        known = dict(zip(names, given, strict=True))
        return jnp.stack(model.close_surface(known, forcing, offset, slope, np.float64(290.0)))

    values = np.array([0.2, 0.95, 20.0, 15.0, 288.0, 0.02])
    results = []
    for turbulence in (xlsm.ConstantExchange(), NotSaidToBeLinear()):
        solve = jax.jit(functools.partial(balance, turbulence))
        slopes = jax.jit(jax.jacrev(solve))(values)
        shifts = np.diag(1e-5 * values)
        steps = [(solve(values + s) - solve(values - s)) / (2 * s.sum()) for s in shifts]
        np.testing.assert_allclose(slopes.T, steps, rtol=1e-6)
        results.append((solve(values), slopes))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)
