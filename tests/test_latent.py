"""Water vapour: saturation, and the ways in which a surface evaporates."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from xlsm.model.humidity import (
    air_density,
    latent_heat_of_vaporisation,
    psychrometric_constant,
    saturation_slope,
    saturation_specific_humidity,
    saturation_vapour_pressure,
)
from xlsm.model.latent import (
    BowenRatio,
    Conditions,
    GivenLatent,
    MoistureAvailability,
    NoLatent,
    PriestleyTaylor,
    SurfaceResistance,
)

pytestmark = pytest.mark.usefixtures("x64")

CP, RATIO = 1005.0, 287.05 / 461.5
AIR = {"Tair": 293.0, "Qair": 0.008, "PSurf": 98e3, "Qle": 55.0}
PARAMETERS = {
    "bowen_ratio": 0.5,
    "surface_resistance": 80.0,
    "moisture_availability": 0.4,
    "priestley_taylor_coefficient": 1.26,
}
WET = {"moisture_availability": 1.0}
SCHEMES = (
    NoLatent(),
    GivenLatent(),
    BowenRatio(),
    SurfaceResistance(),
    MoistureAvailability(),
    PriestleyTaylor(),
)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: type(s).__name__)


@partial(jax.jit, static_argnums=0)
def _flux(scheme, conditions, forcing, parameters):
    return scheme.flux(Conditions(*conditions), forcing, parameters)


def flux(scheme, surface=298.0, radiation=400.0, h=15.0, parameters=(), **air):
    conditions = [jnp.asarray(x, float) for x in (surface, radiation, h)]
    forcing = {name: jnp.asarray(x, float) for name, x in (AIR | air).items()}
    return np.asarray(_flux(scheme, conditions, forcing, PARAMETERS | dict(parameters)))


def saturated(kelvin, pressure=98e3):
    return float(saturation_specific_humidity(kelvin, pressure))


# Water and air


def test_saturation_at_freezing_and_boiling():
    # international formulation of water (Wagner & Pruss 2002): degrees C, Pa
    table = np.array([[-20, 125.6], [0, 611.2], [20, 2339.2], [40, 7385.1], [100, 101418]])
    np.testing.assert_allclose(
        saturation_vapour_pressure(table[:, 0] + 273.15), table[:, 1], rtol=2.5e-3
    )
    np.testing.assert_allclose(
        saturation_vapour_pressure(table[:4, 0] + 273.15), table[:4, 1], rtol=1e-3
    )
    # where water boils there is nothing but vapour
    boiling = brentq(lambda t: float(saturation_vapour_pressure(t)) - 101325, 360, 390)
    assert abs(boiling - 373.15) < 0.1
    np.testing.assert_allclose(saturated(boiling, 101325.0), 1.0, rtol=1e-12)


def test_latent_heat_of_the_tables():
    celsius, table = np.array([0.0, 10, 20, 30, 40]), [2500.9, 2477.2, 2453.5, 2429.8, 2406.0]
    found = latent_heat_of_vaporisation(celsius + 273.15) / 1e3
    np.testing.assert_allclose(found, table, rtol=4e-3)


def test_slope_by_differences():
    kelvin = np.linspace(220, 400, 19)
    rise = saturation_vapour_pressure(kelvin + 1e-3) - saturation_vapour_pressure(kelvin - 1e-3)
    np.testing.assert_allclose(saturation_slope(kelvin), rise / 2e-3, rtol=1e-7)
    # Clausius and Clapeyron, with the latent heat that belongs to it
    expected = latent_heat_of_vaporisation(kelvin) / (461.5 * kelvin**2)
    np.testing.assert_allclose(
        rise / 2e-3 / saturation_vapour_pressure(kelvin), expected, rtol=1e-7
    )


def test_psychrometric_constant_of_the_tables():
    # Allen et al. (1998), FAO 56, Annex 2: 0.067 kPa K-1 at sea level, 0.054 at 1800 m
    constant = psychrometric_constant(293.15, np.array([101.3e3, 81.8e3]))
    np.testing.assert_allclose(constant, [67, 54], atol=0.7)


def test_density_is_that_of_two_gases():
    np.testing.assert_allclose(air_density(288.15, 101325.0), 1.2250, rtol=1e-4)
    q, kelvin, pressure = 0.015, 300.0, 95e3
    vapour = q * pressure / (RATIO + (1 - RATIO) * q)
    both = (pressure - vapour) / (287.05 * kelvin) + vapour / (461.5 * kelvin)
    np.testing.assert_allclose(air_density(kelvin, pressure, q), both, rtol=1e-13)


def test_saturation_never_turns_back():
    kelvin = np.linspace(-1e4, 1e4, 20001)
    humidity = saturation_specific_humidity(kelvin, 98e3)
    assert np.all(np.diff(humidity) >= 0)
    assert np.all((humidity >= 0) & (humidity <= 1))
    slope = jax.vmap(jax.grad(saturation_specific_humidity), (0, None))(kelvin, 98e3)
    assert np.all(np.isfinite(slope))
    assert np.all(slope >= 0)


# Evaporation


def test_wet_bulb():
    def wet_bulb(air, humidity, pressure=98e3):
        """Temperature at which a wet surface takes from the air what it evaporates."""

        def gain(surface):
            weather = {"Tair": air, "Qair": humidity, "PSurf": pressure}
            latent = flux(MoistureAvailability(), surface, parameters=WET, **weather)
            return float(latent + 15.0 * (surface - air))

        return brentq(gain, 200.0, air, xtol=1e-12)

    air, pressure = 303.15, 98e3
    for relative in (0.0, 0.5, 0.9):
        vapour = relative * float(saturation_vapour_pressure(air))
        humidity = RATIO * vapour / (pressure - (1 - RATIO) * vapour)
        bulb = wet_bulb(air, humidity)
        # energy: what cools the air is what evaporates
        latent_heat = float(latent_heat_of_vaporisation(air))
        cooled, evaporated = CP * (air - bulb), latent_heat * (saturated(bulb) - humidity)
        np.testing.assert_allclose(cooled, evaporated, rtol=1e-10)
        # the psychrometer's equation, which takes mixing ratios for specific humidities
        difference = float(saturation_vapour_pressure(bulb)) - vapour
        gamma = float(psychrometric_constant(air, pressure))
        np.testing.assert_allclose(gamma * (air - bulb), difference, rtol=0.035)
    # a chart has 22 degrees C for air of 30 degrees and 50 % at sea level
    vapour = 0.5 * float(saturation_vapour_pressure(air))
    humidity = RATIO * vapour / (101325 - (1 - RATIO) * vapour)
    assert abs(wet_bulb(air, humidity, 101325.0) - 273.15 - 22.0) < 0.15
    # saturated air cools nothing
    np.testing.assert_allclose(wet_bulb(air, saturated(air) - 1e-12), air, atol=1e-6)


def test_penman_monteith_where_temperatures_are_close():
    """The same fluxes without the surface temperature, to first order in the difference."""

    def by_penman_monteith(difference):
        surface = AIR["Tair"] + difference
        latent = flux(SurfaceResistance(), surface)
        available = 15.0 * difference + latent
        latent_heat = float(latent_heat_of_vaporisation(AIR["Tair"]))
        slope = float(jax.grad(saturation_specific_humidity)(AIR["Tair"], AIR["PSurf"]))
        density = float(air_density(AIR["Tair"], AIR["PSurf"], AIR["Qair"]))
        air = density * CP / 15.0  # resistance
        deficit = saturated(AIR["Tair"]) - AIR["Qair"]
        gamma = CP / latent_heat * (1 + PARAMETERS["surface_resistance"] / air)
        return (slope * available + density * CP * deficit / air) / (slope + gamma) - latent

    assert by_penman_monteith(0.0) == pytest.approx(0, abs=1e-10)
    errors = np.abs([by_penman_monteith(d) for d in (0.4, 0.2, 0.1)])
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 2.0, atol=0.02)


def test_surface_between_wet_and_dry():
    def resistance(value, **air):
        return flux(SurfaceResistance(), parameters={"surface_resistance": value}, **air)

    def availability(value, **air):
        return flux(MoistureAvailability(), parameters={"moisture_availability": value}, **air)

    wet = availability(1.0)
    expected = float(latent_heat_of_vaporisation(293.0)) / CP * 15.0 * (saturated(298.0) - 0.008)
    np.testing.assert_allclose(wet, expected, rtol=1e-13)
    np.testing.assert_allclose(resistance(0.0), wet, rtol=1e-13)
    assert availability(0.0) == 0
    np.testing.assert_allclose(availability(0.25), wet / 4, rtol=1e-13)
    # as much resistance in the surface as in the air: half of it
    air = float(air_density(293.0, 98e3, 0.008)) * CP / 15.0
    np.testing.assert_allclose(resistance(air), wet / 2, rtol=1e-13)
    np.testing.assert_allclose(resistance(1e12), 0.0, atol=1e-6)
    # a transfer that is nothing carries nothing
    assert flux(SurfaceResistance(), h=0.0) == flux(MoistureAvailability(), h=0.0) == 0


def test_dew_forms_on_any_surface():
    for scheme, name, values in (
        (SurfaceResistance(), "surface_resistance", (0.1, 1e5)),
        (MoistureAvailability(), "moisture_availability", (0.0, 1.0)),
    ):
        moist = {"Qair": saturated(298.0)}
        dew = [flux(scheme, 297.0, parameters={name: value}, **moist) for value in values]
        assert dew[0] == dew[1] < 0
        # and begins without a jump
        edge = flux(scheme, 298.0 + np.array([-1e-9, 0.0, 1e-9]), **moist)
        assert np.all(np.abs(edge) < 1e-6)
        assert edge[1] == 0


def test_priestley_taylor_is_equilibrium_evaporation():
    one = {"priestley_taylor_coefficient": 1.0}
    for kelvin in (263.0, 283.0, 303.0):
        slope, gamma = saturation_slope(kelvin), psychrometric_constant(kelvin, 98e3)
        equilibrium = flux(PriestleyTaylor(), parameters=one, Tair=kelvin)
        np.testing.assert_allclose(equilibrium, 400 * slope / (slope + gamma), rtol=1e-13)
        # what a wet surface does under saturated air, but for a mixing ratio in place of a
        # specific humidity: twice 0.38 e / p
        air = {"Tair": kelvin, "Qair": saturated(kelvin)}
        wet = flux(MoistureAvailability(), kelvin + 1e-4, parameters=WET, **air)
        share = wet / (wet + 15.0 * 1e-4)
        dry = float(saturation_vapour_pressure(kelvin)) / 98e3
        np.testing.assert_allclose(share, equilibrium / 400, rtol=0.76 * dry + 1e-4)
    np.testing.assert_allclose(
        flux(PriestleyTaylor()), 1.26 * flux(PriestleyTaylor(), parameters=one)
    )


def test_no_sun_no_evaporation_by_radiation():
    night = flux(PriestleyTaylor(), radiation=np.array([-80.0, -1e-9, 0.0, 1e-9]))
    np.testing.assert_allclose(night, 0, atol=1e-8)
    assert np.all(night[:3] == 0)


def test_proportional_given_and_none():
    np.testing.assert_allclose(flux(BowenRatio()), 15.0 * 5.0 / 0.5)
    assert flux(GivenLatent()) == 55.0
    assert flux(NoLatent()) == 0
    assert [s.forcing for s in SCHEMES] == [
        (),
        ("Qle",),
        (),
        ("Tair", "Qair", "PSurf"),
        ("Tair", "Qair", "PSurf"),
        ("Tair", "PSurf"),
    ]


@partial(jax.jit, static_argnums=0)
def _gradients(scheme, *point):
    return jax.grad(lambda *x: jnp.sum(_flux(scheme, *x)), argnums=(0, 1, 2))(*point)


@partial(jax.jit, static_argnums=0)
def _inside(scheme, *point):
    return jax.vmap(jax.grad(partial(_flux, scheme), argnums=(0, 1, 2)))(*point)


#: Surface temperature, net radiation, transfer coefficient, Tair, Qair, PSurf, Qle.
ORDINARY = np.array(
    [
        [298.0, 400.0, 15.0, 293.0, 0.008, 98e3, 100.0],
        [278.0, -60.0, 4.0, 281.0, 0.006, 85e3, -10.0],
        [262.0, 30.0, 25.0, 260.0, 0.001, 101e3, 5.0],
    ]
)
EXTREME = np.array(
    [
        [293.0, 0.0, 15.0, 293.0, 0.008, 98e3, 0.0],  # neither gain nor loss
        [293.0, 100.0, 15.0, 293.0, saturated(293.0), 98e3, 0.0],  # saturated, one temperature
        [340.0, 900.0, 1000.0, 315.0, 0.0, 98e3, 900.0],  # no vapour at all, storm
        [233.0, -90.0, 0.0, 243.0, 1e-4, 60e3, -50.0],  # no exchange
        [400.0, 1000.0, 5.0, 310.0, 0.04, 60e3, 0.0],  # above boiling
        [-500.0, 1e9, 5.0, 310.0, 0.04, 60e3, 0.0],  # what a search may try
        [1e5, -1e9, 5.0, 310.0, 0.04, 60e3, 0.0],
    ]
)


def point(rows, **parameters):
    surface, radiation, h, *air = rows.T
    forcing = dict(zip(("Tair", "Qair", "PSurf", "Qle"), air, strict=True))
    values = {n: np.full(len(rows), v) for n, v in (PARAMETERS | parameters).items()}
    return [surface, radiation, h], forcing, values


@every_scheme
def test_derivatives(scheme):
    where = point(ORDINARY)
    gradients = _gradients(scheme, *where)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-12), gradients, _inside(scheme, *where)
    )
    leaves, tree = jax.tree.flatten(where)
    for i, gradient in enumerate(jax.tree.leaves(gradients)):
        step = 1e-6 * np.abs(leaves[i])
        up, down = list(leaves), list(leaves)
        up[i], down[i] = up[i] + step, down[i] - step
        rise = _flux(scheme, *jax.tree.unflatten(tree, up))
        rise = rise - _flux(scheme, *jax.tree.unflatten(tree, down))
        slope = np.asarray(rise / (2 * step))
        np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-9 / step.min())


@every_scheme
@pytest.mark.parametrize("wetness", [1e-3, 1.0, 1e3])
def test_finite_at_the_extremes(scheme, wetness):
    where = point(
        EXTREME,
        surface_resistance=100.0 / wetness,
        moisture_availability=min(wetness, 1.0),
        bowen_ratio=min(max(1 / wetness, 0.01), 100.0),
    )
    for leaf in jax.tree.leaves((_flux(scheme, *where), _gradients(scheme, *where))):
        assert np.all(np.isfinite(leaf))
    for leaf in jax.tree.leaves(_inside(scheme, *where)):
        assert np.all(np.isfinite(leaf))
