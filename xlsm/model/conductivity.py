"""Thermal conductivity of moist, unfrozen mineral soil: the published formulas, made smooth.

Functions of arrays that broadcast. Fractions are volume over volume and have no unit;
conductivities are in W m-1 K-1. Values and derivatives are finite from dry soil to one that is
said to hold more water than it has pores.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

__all__ = [
    "dry_johansen",
    "dry_lu",
    "kersten_johansen",
    "kersten_lu",
    "minerals",
    "saturated",
    "saturation",
]

#: Density of the minerals (kg m-3), by which dry density and porosity are one thing
#: (Peters-Lidard et al. 1998).
MINERAL_DENSITY = 2700.0
#: Conductivity of quartz, and of the other minerals of soils with little quartz and with more
#: (W m-1 K-1; Johansen 1975).
QUARTZ, OTHERS_POOR, OTHERS_RICH = 7.7, 3.0, 2.0
#: Quartz fraction up to which a soil has little.
LITTLE_QUARTZ = 0.2
#: Conductivity of water (W m-1 K-1): Peters-Lidard et al. (1998), and Lu et al. (2007) at 20 degC.
WATER_JOHANSEN, WATER_LU = 0.57, 0.594
#: Slope of Johansen's Kersten number in log10 of the degree of saturation, and the degree at
#: which it is led on to zero: for coarse soils the lower end of its published range.
COARSE, FINE = (0.7, 0.05), (1.0, 0.12)
#: Shape of the Kersten number of Lu et al. (2007) for fine and coarse soils, and the sand
#: fraction above which a soil is coarse.
ALPHA_FINE, ALPHA_COARSE = 0.27, 0.96
MUCH_SAND = 0.4
#: Half the width of the strip in which a formula changes over to another one.
STRIP = 0.02
#: A degree of saturation levels off at one and this much more.
EXCESS = 0.01
#: Degree of saturation at which nothing of the Kersten number of Lu et al. is left: 1e-69.
NO_WATER = 1e-6


def saturation(moisture: jax.Array, porosity: jax.Array) -> jax.Array:
    """Degree of saturation S, the water over the pores that hold it.

    Exact up to one; beyond it levels off smoothly at 1.01, reached at 1.02.

    Parameters
    ----------
    moisture : array
        Volume fraction of water, not negative.
    porosity : array
        Volume fraction of pores.

    Returns
    -------
    array

    Examples
    --------
    >>> [round(float(saturation(m, 0.4)), 3) for m in (0.0, 0.1, 0.4, 0.8)]
    [0.0, 0.25, 1.0, 1.01]
    """
    ratio = jnp.asarray(moisture / porosity)
    over = jnp.minimum(ratio - 1, 2 * EXCESS)
    return jnp.where(ratio > 1, 1 + over - over**2 / (4 * EXCESS), ratio)


def minerals(quartz: jax.Array) -> jax.Array:
    """Conductivity of the solids, the geometric mean of quartz and other minerals.

    ``7.7^q lambda_o^(1 - q)`` with lambda_o = 2 for q > 0.2 and 3 below [1]_: less quartz may
    conduct better. Within 0.02 of 0.2 one value passes smoothly into the other.

    Parameters
    ----------
    quartz : array
        Fraction of quartz among the solids.

    Returns
    -------
    array

    References
    ----------
    .. [1] Johansen, O. (1975), Thermal conductivity of soils, Ph.D. thesis, Trondheim; as in
       Peters-Lidard et al. (1998), J. Atmos. Sci. 55, 1209-1224.

    Examples
    --------
    >>> [round(float(minerals(q)), 2) for q in (0.0, 0.1, 0.6, 1.0)]
    [3.0, 3.3, 4.49, 7.7]
    """
    others = OTHERS_POOR + (OTHERS_RICH - OTHERS_POOR) * _rise(quartz, LITTLE_QUARTZ)
    return QUARTZ**quartz * others ** (1 - quartz)


def saturated(solids: jax.Array, porosity: jax.Array, water: float) -> jax.Array:
    """Conductivity of a saturated soil, the geometric mean ``lambda_s^(1 - n) lambda_w^n``.

    Parameters
    ----------
    solids : array
        Conductivity of the solids.
    porosity : array
        Volume fraction of pores n.
    water : float
        Conductivity of water.

    Returns
    -------
    array

    Examples
    --------
    >>> round(float(saturated(4.49, 0.4, WATER_JOHANSEN)), 2)
    1.97
    """
    return solids ** (1 - porosity) * water**porosity


def dry_johansen(porosity: jax.Array) -> jax.Array:
    """Conductivity of a dry natural soil, ``(0.135 rho_d + 64.7) / (2700 - 0.947 rho_d)``.

    The dry density rho_d (kg m-3) is 2700 (1 - n). Source as for `minerals`; to within a fifth
    of what was measured.

    Parameters
    ----------
    porosity : array
        Volume fraction of pores n.

    Returns
    -------
    array

    Examples
    --------
    >>> round(float(dry_johansen(0.4)), 3)
    0.243
    """
    density = MINERAL_DENSITY * (1 - porosity)
    return (0.135 * density + 64.7) / (MINERAL_DENSITY - 0.947 * density)


def kersten_johansen(saturation: jax.Array, *, coarse: bool) -> jax.Array:
    """Kersten number: 0 where a soil conducts as when dry, 1 where as when saturated.

    ``0.7 log10 S + 1`` for coarse, ``log10 S + 1`` for fine soils, published for S above 0.05
    and 0.1. Below 0.05, and 0.12, it goes to zero as the power of S that has the same value and
    slope there. Source as for `minerals`.

    Parameters
    ----------
    saturation : array
        Degree of saturation S.
    coarse : bool
        Whether it is sand or gravel; anything with 5 % of clay or more is fine.

    Returns
    -------
    array

    Examples
    --------
    >>> [round(float(kersten_johansen(s, coarse=True)), 3) for s in (0.0, 0.1, 1.0)]
    [0.0, 0.3, 1.0]
    """
    rate, end = COARSE if coarse else FINE
    value = rate * math.log10(end) + 1
    power = rate / math.log(10) / value
    # what neither branch is meant for must not reach its logarithm or its power
    above, below = jnp.maximum(saturation, end), jnp.minimum(saturation, end)
    return jnp.where(saturation > end, rate * jnp.log10(above) + 1, value * (below / end) ** power)


def dry_lu(porosity: jax.Array) -> jax.Array:
    """Conductivity of a dry soil, ``0.51 - 0.56 n``, fitted for n from 0.2 to 0.6 [1]_.

    Parameters
    ----------
    porosity : array
        Volume fraction of pores n.

    Returns
    -------
    array

    References
    ----------
    .. [1] Lu, S., Ren, T., Gong, Y. & Horton, R. (2007), Soil Sci. Soc. Am. J. 71, 8-14.

    Examples
    --------
    >>> round(float(dry_lu(0.4)), 3)
    0.286
    """
    return 0.51 - 0.56 * porosity


def kersten_lu(saturation: jax.Array, sand: jax.Array) -> jax.Array:
    """Kersten number ``exp(alpha (1 - S^(alpha - 1.33)))``, zero at S = 0 and one at S = 1.

    alpha is 0.96 for a sand fraction above 0.4 and 0.27 below; within 0.02 of 0.4 one passes
    smoothly into the other. Source as for `dry_lu`.

    Parameters
    ----------
    saturation : array
        Degree of saturation S.
    sand : array
        Fraction of sand among the solids.

    Returns
    -------
    array

    Examples
    --------
    >>> [round(float(kersten_lu(s, 0.8)), 3) for s in (0.0, 0.3, 1.0)]
    [0.0, 0.583, 1.0]
    """
    alpha = ALPHA_FINE + (ALPHA_COARSE - ALPHA_FINE) * _rise(sand, MUCH_SAND)
    # the power is infinite at zero, and its derivative no number
    water = jnp.maximum(saturation, NO_WATER)
    return jnp.exp(alpha * (1 - water ** (alpha - 1.33)))


def _rise(value: jax.Array, threshold: float) -> jax.Array:
    """0 below a threshold and 1 above, twice differentiable in between."""
    x = jnp.clip((value - threshold) / (2 * STRIP) + 0.5, 0.0, 1.0)
    return x**3 * (10 - 15 * x + 6 * x**2)
