"""How the stratification of the air helps or hinders its exchange with the surface."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlsm.errors import ModelError
from xlsm.model.constants import VON_KARMAN
from xlsm.model.piece import Piece

__all__ = [
    "Layer",
    "Louis",
    "MoninObukhov",
    "Neutral",
    "Stability",
    "psi_heat",
    "psi_momentum",
]

# Businger-Dyer, unstable; Beljaars & Holtslag (1991), stable
GAMMA = 16.0
A, B, C, D = 1.0, 0.667, 5.0, 0.35
#: Louis (1979): b, and C* of heat; stable b' is half of b.
LOUIS_B, LOUIS_C = 9.4, 5.3
#: Least slope that a Newton step of `MoninObukhov` believes, and its derivatives; longest step.
LEAST_SLOPE, LONGEST_STEP = 0.05, 0.8


class Layer(NamedTuple):
    """The air between the surface and the sensors.

    Parameters
    ----------
    wind_height, temperature_height : float
        Of the sensors above the displacement height (m).
    roughness, thermal_roughness : array, shape (...)
        Roughness lengths for momentum and heat (m).
    """

    wind_height: float
    temperature_height: float
    roughness: jax.Array
    thermal_roughness: jax.Array

    @property
    def momentum(self) -> jax.Array:
        """Logarithm of the height of the wind over its roughness length, shape (...)."""
        return jnp.log(self.wind_height / self.roughness)

    @property
    def heat(self) -> jax.Array:
        """Logarithm of the height of the temperature over its roughness length, shape (...)."""
        return jnp.log(self.temperature_height / self.thermal_roughness)


class Stability(Piece, abc.ABC):
    """Transfer coefficient of heat through a layer of air."""

    @abc.abstractmethod
    def transfer(self, richardson: jax.Array, layer: Layer) -> jax.Array:
        """Compute the transfer coefficient of heat, the flux over wind and difference.

        Parameters
        ----------
        richardson : array, shape (...)
            Bulk Richardson number, ``g z (Tair - Ts) / (Tair U^2)`` with the height z of the
            wind: positive where the air is stable.
        layer : Layer
            Heights and roughness lengths.

        Returns
        -------
        array, shape (...)
            1.
        """


@dataclasses.dataclass(frozen=True)
class Neutral(Stability):
    """The logarithmic law, whatever the stratification.

    ``C_H = k^2 / (ln(z_u / z_0m) ln(z_t / z_0h))``, as in any textbook [1]_.

    References
    ----------
    .. [1] Garratt, J. R. (1992), The Atmospheric Boundary Layer, Cambridge, sections 3.3 and 4.2.

    Examples
    --------
    >>> print(f"{Neutral().transfer(-1.0, Layer(10.0, 2.0, 0.03, 0.003)):.5f}")
    0.00424
    """

    def transfer(self, richardson: jax.Array, layer: Layer) -> jax.Array:
        """Transfer coefficient of heat (1), shape (...)."""
        return VON_KARMAN**2 / (layer.momentum * layer.heat)


@dataclasses.dataclass(frozen=True)
class Louis(Stability):
    """Explicit functions of the bulk Richardson number.

    The neutral coefficient times ``1 - b Ri / (1 + c sqrt(-Ri))``, unstable, or
    ``1 / (1 + b Ri / 2)^2``, stable, with ``b = 9.4`` and ``c = 5.3 b C_N sqrt(z / z_0)`` [1]_.
    There the two roughness lengths are one, and so are the heights of the sensors; here z and
    z_0 are those of the temperature, which comes nearest to the extension of [2]_, and Ri has
    the height of the wind. The neutral limit is that of `Neutral` (the 0.74 in [1]_ belongs to
    a von Karman constant of 0.35).

    References
    ----------
    .. [1] Louis, J.-F. (1979), Boundary-Layer Meteorol. 17, 187-202.
    .. [2] Mascart, Noilhan & Giordani (1995), Boundary-Layer Meteorol. 72, 331-344.

    Examples
    --------
    >>> layer = Layer(10.0, 2.0, 0.03, 0.003)
    >>> ratio = Louis().transfer(-0.1, layer) / Neutral().transfer(0.0, layer)
    >>> print(f"{ratio:.2f}")
    1.35
    """

    def transfer(self, richardson: jax.Array, layer: Layer) -> jax.Array:
        """Transfer coefficient of heat (1), shape (...)."""
        neutral = VON_KARMAN**2 / (layer.momentum * layer.heat)
        height = layer.temperature_height / layer.thermal_roughness
        c = LOUIS_C * LOUIS_B * neutral * jnp.sqrt(height)
        # double where: the square root has no derivative at zero
        is_unstable = richardson < 0
        unstable = jnp.where(is_unstable, richardson, -1.0)
        helped = 1 - LOUIS_B * unstable / (1 + c * jnp.sqrt(-unstable))
        hindered = 1 / (1 + LOUIS_B / 2 * jnp.maximum(richardson, 0.0)) ** 2
        return neutral * jnp.where(is_unstable, helped, hindered)


@dataclasses.dataclass(frozen=True)
class MoninObukhov(Stability):
    """Similarity theory of the surface layer.

    ``C_H = k^2 / (F_m F_h)`` with ``F = ln(z / z_0) - psi(z / L) + psi(z_0 / L)`` for momentum and
    heat. The stability ``zeta = z_u / L`` solves ``zeta F_h / F_m^2 = Ri``. The functions are those
    of Businger and Dyer where unstable, integrated by Paulson [1]_ [2]_, and those of Beljaars
    and Holtslag where stable [3]_.

    The equation is solved for the logarithm of zeta / Ri, which passes through Ri = 0 without a
    break, by a fixed number of Newton steps; derivatives follow from the implicit function
    theorem. Eight steps are exact to round-off, but for some geometries in stable air: where the
    wind is measured many times higher than the temperature, or z_0h is many times smaller than
    z_0m, Ri as a function of zeta is nearly flat at Ri of 0.2 to 0.5, or turns back, so that
    zeta jumps. There the steps are damped, and C_H falls steeply but without a break.

    Parameters
    ----------
    iterations : int
        Number of Newton steps.

    Raises
    ------
    ModelError
        If that is less than 1.

    References
    ----------
    .. [1] Dyer, A. J. (1974), Boundary-Layer Meteorol. 7, 363-372.
    .. [2] Paulson, C. A. (1970), J. Appl. Meteorol. 9, 857-861.
    .. [3] Beljaars & Holtslag (1991), J. Appl. Meteorol. 30, 327-341.

    Examples
    --------
    >>> layer = Layer(10.0, 2.0, 0.03, 0.003)
    >>> neutral = Neutral().transfer(0.0, layer)
    >>> for richardson in (-1.0, 0.0, 0.1):
    ...     print(f"{MoninObukhov().transfer(richardson, layer) / neutral:.2f}")
    1.89
    1.00
    0.32
    """

    iterations: int = 8

    def __post_init__(self) -> None:
        """Refuse to find nothing."""
        if self.iterations < 1:
            raise ModelError(f"MoninObukhov needs at least 1 iteration, got {self.iterations}")

    def transfer(self, richardson: jax.Array, layer: Layer) -> jax.Array:
        """Transfer coefficient of heat (1), shape (...)."""
        neutral_m, neutral_h = layer.momentum, layer.heat
        # arguments of the functions, at the sensor and at the roughness length, over zeta
        top_h = layer.temperature_height / layer.wind_height
        low_m = layer.roughness / layer.wind_height
        low_h = layer.thermal_roughness / layer.wind_height
        ones = jnp.ones_like(richardson)
        ends_m = jnp.stack(jnp.broadcast_arrays(ones, low_m))
        ends_h = jnp.stack(jnp.broadcast_arrays(top_h * ones, low_h))

        def profiles(log_ratio: jax.Array) -> tuple[jax.Array, jax.Array]:
            zeta = richardson * jnp.exp(log_ratio)
            momentum, heat = psi_momentum(zeta * ends_m), psi_heat(zeta * ends_h)
            return neutral_m - momentum[0] + momentum[1], neutral_h - heat[0] + heat[1]

        def excess(log_ratio: jax.Array) -> jax.Array:
            momentum, heat = profiles(log_ratio)
            return log_ratio + jnp.log(heat / momentum**2)

        def improve(_: int, log_ratio: jax.Array) -> jax.Array:
            value, slope = jax.jvp(excess, (log_ratio,), (jnp.ones_like(log_ratio),))
            change = value / jnp.maximum(slope, LEAST_SLOPE)
            return log_ratio - jnp.clip(change, -LONGEST_STEP, LONGEST_STEP)

        def find(_: Callable[[jax.Array], jax.Array], start: jax.Array) -> jax.Array:
            found: jax.Array = jax.lax.fori_loop(0, self.iterations, improve, start)
            return found

        def divide(linearised: Callable[[jax.Array], jax.Array], value: jax.Array) -> jax.Array:
            return value / jnp.maximum(linearised(jnp.ones_like(value)), LEAST_SLOPE)

        # a third of what is right where the air is very stable, (3/2)^3 Ri / top_h^3
        stable = jnp.maximum(richardson, 0.0)
        start = jnp.log(neutral_m**2 / neutral_h + stable / top_h**3)
        momentum, heat = profiles(jax.lax.custom_root(excess, start, find, divide))
        return VON_KARMAN**2 / (momentum * heat)


def psi_momentum(zeta: jax.Array) -> jax.Array:
    """Integrate ``(1 - phi_m) / zeta`` from 0 to zeta, for the wind; shape (...)."""
    unstable, stable = _sides(zeta)
    square = jnp.sqrt(1 - GAMMA * unstable)
    root = jnp.sqrt(square)
    paulson = jnp.log((1 + root) ** 2 * (1 + square) / 8) - 2 * jnp.arctan(root) + math.pi / 2
    return paulson - A * stable - _bump(stable)


def psi_heat(zeta: jax.Array) -> jax.Array:
    """Integrate ``(1 - phi_h) / zeta`` from 0 to zeta, for the temperature; shape (...)."""
    unstable, stable = _sides(zeta)
    paulson = 2 * jnp.log((1 + jnp.sqrt(1 - GAMMA * unstable)) / 2)
    growth = 1 + 2 / 3 * A * stable
    return paulson - (growth * jnp.sqrt(growth) - 1) - _bump(stable)


def _sides(zeta: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Zeta where unstable and where stable, else 0: there a function is 0, whatever the other."""
    stable = jnp.where(zeta < 0, 0.0, zeta)
    return zeta - stable, stable


def _bump(stable: jax.Array) -> jax.Array:
    decay = jnp.exp(-D * stable)
    return B * (stable * decay + C / D * (1 - decay))
