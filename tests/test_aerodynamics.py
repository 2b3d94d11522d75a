"""Transfer of heat through the air: the logarithmic law, and what stability makes of it."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from xlsm.errors import ModelError
from xlsm.model.aerodynamics import BulkTransfer, ConstantTransfer, WindTransfer
from xlsm.model.stability import (
    Layer,
    Louis,
    MoninObukhov,
    Neutral,
    psi_heat,
    psi_momentum,
)

pytestmark = pytest.mark.usefixtures("x64")

SCHEMES = (Neutral(), Louis(), MoninObukhov())
NAMES = ("Neutral", "Louis", "MoninObukhov")
every_scheme = pytest.mark.parametrize("stability", SCHEMES, ids=NAMES)
#: Heights of wind and temperature, z_0m, z_0h (m): a mast, a station, rough and smooth surfaces.
LAYERS = {
    "mast": Layer(22.0, 22.0, 0.5, 0.05),
    "station": Layer(10.0, 2.0, 0.03, 0.003),
    "smooth": Layer(3.0, 2.0, 1e-4, 1e-4),
    "bluff": Layer(10.0, 10.0, 0.1, 1e-5),
    "low wind": Layer(2.0, 10.0, 0.01, 0.001),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)

AIR = {"Tair": 293.0, "Wind": 3.0, "PSurf": 98e3, "Qair": 0.01}
SURFACE = {"roughness_length": 0.05, "log_roughness_ratio": 2.0}


@partial(jax.jit, static_argnums=0)
def _h(transfer, surface, forcing, parameters):
    return transfer.coefficient(surface, forcing, parameters)


def h(transfer, surface=295.0, parameters=SURFACE, **air):
    forcing = {name: np.asarray(value, float) for name, value in (AIR | air).items()}
    return np.asarray(_h(transfer, np.asarray(surface, float), forcing, parameters))


@partial(jax.jit, static_argnums=0)
def transfer(stability, richardson, layer):
    return stability.transfer(richardson, layer)


def bulk(wind=10.0, temperature=2.0, stability=Neutral(), **options):  # noqa: B008
    return BulkTransfer(wind, temperature, stability=stability, **options)


# The profile functions as published, by themselves: dimensionless gradients


def phi_m(zeta):
    bump = 0.667 * zeta * (1 + 5 - 0.35 * zeta) * math.exp(-0.35 * zeta) if zeta > 0 else 0.0
    return (1 - 16 * zeta) ** -0.25 if zeta < 0 else 1 + zeta + bump


def phi_h(zeta):
    bump = 0.667 * zeta * (1 + 5 - 0.35 * zeta) * math.exp(-0.35 * zeta) if zeta > 0 else 0.0
    return (1 - 16 * zeta) ** -0.5 if zeta < 0 else 1 + zeta * math.sqrt(1 + 2 / 3 * zeta) + bump


def profile(phi, low, high, obukhov):
    """Difference between two heights, from the gradients."""
    value, _ = quad(
        lambda x: phi(math.exp(x) / obukhov), math.log(low), math.log(high), epsabs=1e-12, limit=200
    )
    return value


def by_root_find(richardson, layer):
    """C_H of the implicit equations: gradients integrated, Obukhov length by bisection."""

    def both(log_length):
        length = math.copysign(math.exp(log_length), richardson)
        momentum = profile(phi_m, layer.roughness, layer.wind_height, length)
        heat = profile(phi_h, layer.thermal_roughness, layer.temperature_height, length)
        return momentum, heat, layer.wind_height / length

    def excess(log_length):
        momentum, heat, zeta = both(log_length)
        return math.log(zeta * heat / momentum**2 / richardson)

    momentum, heat, _ = both(brentq(excess, -20.0, 30.0, xtol=1e-13, rtol=1e-14))
    return 0.16 / (momentum * heat)


def test_logarithmic_law():
    transfer = bulk(displacement=0.4, gustiness=0.3)
    density = 98e3 / (287.05 * 293 * (1 + (461.5 / 287.05 - 1) * 0.01))
    speed = math.hypot(3.0, 0.3)
    logs = math.log(9.6 / 0.05) * (math.log(1.6 / 0.05) + 2.0)
    expected = density * 1005.0 * 0.4**2 * speed / logs
    np.testing.assert_allclose(h(transfer), expected, rtol=1e-13)
    # nothing but the wind and the density matters
    np.testing.assert_array_equal(h(transfer, [250.0, 350.0]), [expected] * 2)


def test_only_heights_above_the_displacement_matter():
    for stability in SCHEMES:
        raised = bulk(10.5, 2.5, stability, displacement=0.5)
        np.testing.assert_allclose(h(raised), h(bulk(stability=stability)), rtol=1e-13)


def test_roughness_for_heat_follows_that_for_momentum():
    # z_0h = z_0m exp(-kB^-1): a lower roughness is as good as a higher sensor
    half = SURFACE | {"log_roughness_ratio": 2.0 + math.log(2)}
    np.testing.assert_allclose(h(bulk(10, 2), parameters=half), h(bulk(10, 4)), rtol=1e-13)
    # one roughness, one height: the square of one logarithm
    one = {"roughness_length": 0.05, "log_roughness_ratio": 0.0}
    drag = 0.16 / math.log(10 / 0.05) ** 2
    density = h(bulk(10, 10), parameters=one) / (1005 * drag * math.hypot(3.0, 0.5))
    np.testing.assert_allclose(density, h(bulk()) / h(bulk(), PSurf=1.0) / 98e3 * density)
    assert 1.1 < density < 1.2


@every_scheme
def test_rougher_surfaces_and_stronger_winds_exchange_more(stability):
    for surface in (283.0, 293.0, 303.0):
        rougher = {"roughness_length": np.geomspace(1e-4, 0.9, 30), "log_roughness_ratio": 2.0}
        assert np.all(np.diff(h(bulk(stability=stability), surface, rougher)) > 0)
        winds = h(bulk(stability=stability), surface, Wind=np.linspace(0, 30, 61))
        assert np.all(np.diff(winds) > 0)


@every_layer
def test_neutral_where_surface_and_air_are_of_one_temperature(layer):
    neutral = transfer(Neutral(), 0.0, layer)
    for stability in (Louis(), MoninObukhov()):
        np.testing.assert_allclose(transfer(stability, 0.0, layer), neutral, rtol=1e-14)
        for side in (-1e-9, 1e-9):
            near = transfer(stability, side, layer)
            np.testing.assert_allclose(near, neutral, rtol=1e-4)
            assert (near - neutral) * side < 0  # more where unstable, less where stable


def test_functions_of_louis_end_where_published():
    layer = LAYERS["station"]
    neutral = transfer(Neutral(), 0.0, layer)

    def factor(richardson):
        return transfer(Louis(), richardson, layer) / neutral

    np.testing.assert_allclose(factor(1.0), 1 / 5.7**2, rtol=1e-13)
    # both slopes at zero are -b = -9.4
    for side in (-1e-10, 1e-10):
        np.testing.assert_allclose((factor(side) - 1) / side, -9.4, rtol=3e-2)
    # a coefficient times the wind that no longer depends on the wind: free convection
    far = np.array([-1e8, -4e8])  # half the wind
    flux = factor(far) * np.array([1.0, 0.5])
    np.testing.assert_allclose(flux[0], flux[1], rtol=1e-3)
    limit = math.sqrt(1e8) / (5.3 * neutral * math.sqrt(2.0 / 0.003))
    np.testing.assert_allclose(flux[0], limit, rtol=1e-3)


@pytest.mark.parametrize(("psi", "phi"), [(psi_momentum, phi_m), (psi_heat, phi_h)])
def test_profile_functions_integrate_the_published_gradients(psi, phi):
    assert psi(0.0) == 0
    zetas = np.array([-300.0, -20.0, -1.0, -0.01, 0.01, 0.3, 2.0, 30.0, 1000.0])
    integrals = [
        quad(lambda x: (1 - phi(x)) / x, 0, zeta, epsabs=1e-12, epsrel=1e-12, limit=500)[0]
        for zeta in zetas
    ]
    np.testing.assert_allclose(psi(zetas), integrals, rtol=1e-8)


def test_profile_functions_end_where_published():
    # far out in stable air (Beljaars & Holtslag 1991)
    far = 1e4
    end = 0.667 * 5 / 0.35
    np.testing.assert_allclose(psi_momentum(far), -far - end, rtol=1e-12)
    np.testing.assert_allclose(psi_heat(far), -((1 + 2 / 3 * far) ** 1.5) - end + 1, rtol=1e-12)
    for psi in (psi_momentum, psi_heat):
        assert np.all(np.diff(psi(np.linspace(-50, 50, 2001))) < 0)


@every_layer
@pytest.mark.parametrize("richardson", [-300.0, -3.0, -0.1, -1e-3, 1e-3, 0.05, 0.2, 1.0, 30.0])
def test_monin_obukhov_solves_the_implicit_equations(layer, richardson):
    expected = by_root_find(richardson, layer)
    found = transfer(MoninObukhov(), richardson, layer)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@every_layer
@pytest.mark.parametrize("stability", SCHEMES[1:], ids=NAMES[1:])
def test_less_is_exchanged_the_more_stable_the_air(stability, layer):
    across = np.concatenate([-np.geomspace(1e3, 1e-6, 400), [0.0], np.geomspace(1e-6, 1e3, 400)])
    coefficient = np.asarray(transfer(stability, across, layer))
    assert np.all(coefficient > 0)
    assert np.all(np.diff(coefficient) < 0)
    assert coefficient[-1] < 1e-4 * coefficient[400]


def test_no_break_where_the_equations_have_three_solutions():
    layer = Layer(30.0, 2.0, 0.03, 0.003)
    # Ri as a function of zeta turns back
    zeta = np.geomspace(0.1, 100, 400)
    momentum = layer.momentum - psi_momentum(zeta) + psi_momentum(zeta * 0.001)
    heat = layer.heat - psi_heat(zeta / 15) + psi_heat(zeta * 1e-4)
    assert np.any(np.diff(zeta * heat / momentum**2) < 0)

    def steepest(count):
        across = np.linspace(0.197, 0.199, count)
        coefficient = np.asarray(transfer(MoninObukhov(), across, layer))
        return np.abs(np.diff(np.log(coefficient))).max()

    # steep, but a slope and no jump: the closer one looks, the smaller it is
    assert steepest(26) > 1
    assert steepest(25001) < steepest(2501) / 4 < 0.02


def _coefficient(stability, *point):
    return stability.transfer(point[0], Layer(*point[1:]))


@partial(jax.jit, static_argnums=0)
def _inside(stability, *point):
    return jax.vmap(jax.grad(partial(_coefficient, stability), argnums=(0, 3, 4)))(*point)


@partial(jax.jit, static_argnums=0)
def _outside(stability, *point):
    return jax.grad(lambda *x: _coefficient(stability, *x).sum(), argnums=(0, 3, 4))(*point)


@every_layer
@pytest.mark.parametrize("stability", SCHEMES[1:], ids=NAMES[1:])
def test_derivatives_of_the_coefficient(stability, layer):
    richardson = np.array([-50.0, -2.0, -0.1, 0.01, 0.05, 3.0])
    point = (richardson, *(np.full(richardson.size, x) for x in layer))
    inside, outside = _inside(stability, *point), _outside(stability, *point)
    for gradient, other, i in zip(inside, outside, (0, 3, 4), strict=True):
        step = 1e-6 * np.abs(point[i])
        up, down = list(point), list(point)
        up[i], down[i] = up[i] + step, down[i] - step
        rise = [transfer(stability, x[0], Layer(*x[1:])) for x in (up, down)]
        np.testing.assert_allclose(gradient, (rise[0] - rise[1]) / (2 * step), rtol=1e-6)
        np.testing.assert_allclose(gradient, other, rtol=1e-12)


@pytest.mark.slow
def test_second_derivatives_of_monin_obukhov():
    layer = LAYERS["mast"]

    def flux(difference):
        return difference * MoninObukhov().transfer(difference / 100, layer)

    first = jax.grad(flux)
    both = jax.jit(jax.vmap(lambda x: (first(x), jax.jvp(first, (x,), (jnp.ones_like(x),))[1])))
    point = np.array([-5.0, -0.5, 0.5, 5.0])
    slope = (both(point + 1e-5)[0] - both(point - 1e-5)[0]) / 2e-5
    np.testing.assert_allclose(both(point)[1], slope, rtol=1e-6)


EXTREMES = {
    "calm and hot": (330.0, {"Wind": 0.0}),
    "calm, one temperature": (293.0, {"Wind": 0.0}),
    "one temperature": (293.0, {}),
    "very stable night": (240.0, {"Wind": 0.0}),
    "storm": (290.0, {"Wind": 60.0}),
    "beyond reason": (-5000.0, {"Wind": 0.0}),
    "beyond reason, hot": (1e5, {"Wind": 0.0}),
}


@every_scheme
@pytest.mark.parametrize("case", EXTREMES, ids=str)
def test_finite_at_the_extremes(stability, case):
    surface, air = EXTREMES[case]
    for roughness in (1e-5, 0.05, 1.0):
        for ratio in (0.0, 30.0):
            point = (
                jnp.asarray(surface),
                {n: jnp.asarray(v) for n, v in (AIR | air).items()},
                {"roughness_length": jnp.asarray(roughness), "log_roughness_ratio": ratio},
            )
            transfer = bulk(stability=stability)
            value, gradient = gradient_of(transfer, *point)
            assert np.isfinite(value)
            assert value >= 0
            assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))


_gradients = {}


def gradient_of(transfer, *point):
    """Compiled once for each scheme."""
    if transfer not in _gradients:
        _gradients[transfer] = jax.jit(jax.value_and_grad(transfer.coefficient, argnums=(0, 1, 2)))
    return _gradients[transfer](*point)


def test_constant_and_wind_driven_coefficients():
    assert h(ConstantTransfer(), parameters={"heat_transfer_coefficient": 12.0}) == 12.0
    both = {"calm_heat_transfer_coefficient": 3.0, "wind_heat_transfer_coefficient": 5.0}
    np.testing.assert_array_equal(h(WindTransfer(), parameters=both, Wind=[0.0, 2.0]), [3.0, 13.0])


def test_roughness_stays_below_the_sensors():
    roughness, _ = bulk(10.0, 2.0, displacement=0.5).parameters
    assert roughness.bounds[1] == 0.75
    assert "half the height of the lower sensor above the displacement height" in roughness.meaning
    low, _ = bulk(0.05, 0.05).parameters  # in a wind tunnel
    assert low.bounds[0] < low.default < low.bounds[1] == 0.025


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wind": 0.0}, r"wind_height must be positive \(m\), got 0.0"),
        ({"temperature": -2.0}, "temperature_height must be positive"),
        ({"wind": math.nan}, "wind_height must be positive"),
        ({"gustiness": 0.0}, r"gustiness must be positive \(m s-1\)"),
        ({"displacement": 2.0}, "displacement .* lower sensor, at 2 m; got 2.0 m"),
        ({"displacement": -1.0}, "displacement height must lie between"),
        ({"stability": "neutral"}, r"stability must be Neutral\(\), .* got 'neutral'"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ModelError, match=message):
        bulk(**settings)


def test_no_iterations():
    with pytest.raises(ModelError, match="at least 1"):
        MoninObukhov(iterations=0)
