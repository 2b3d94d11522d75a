"""What a physical parameter is, and the smooth maps that keep it inside its bounds."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp

__all__ = ["ParameterSpec", "to_physical", "to_unbounded"]


@dataclasses.dataclass(frozen=True)
class ParameterSpec:
    """Declaration of one physical parameter, made once, beside the physics that uses it.

    Parameters
    ----------
    name : str
        Name in Datasets and calls, e.g. ``"thermal_conductivity"``.
    symbol : str
        Symbol in formulas, as the literature writes it.
    units : str
        CF units.
    default : float
        Value where the caller gives none, and first guess of an estimation.
    bounds : tuple of float
        Physical limits, both finite, lower first.
    scale : {"linear", "log"}
        Scale on which the parameter is transformed to the real line (see `to_unbounded`):
        ``"log"`` for positive quantities that vary over decades.
    meaning : str
        One line; becomes ``long_name``.
    """

    name: str
    symbol: str
    units: str
    default: float
    bounds: tuple[float, float]
    scale: Literal["linear", "log"]
    meaning: str

    def __post_init__(self) -> None:
        """Refuse a declaration that contradicts itself."""
        lower, upper = self.bounds
        if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
            raise ValueError(f"{self.name}: bounds must be finite and ordered, got {self.bounds}")
        if self.scale == "log" and lower <= 0:
            raise ValueError(f"{self.name}: a log scale needs a positive lower bound, got {lower}")
        if not lower <= self.default <= upper:
            raise ValueError(f"{self.name}: default {self.default} is outside {self.bounds}")


def to_physical(
    unbounded: jax.Array, lower: jax.Array, upper: jax.Array, log_scale: jax.Array
) -> jax.Array:
    """Map the real line smoothly into ``(lower, upper)``.

    On the linear scale ``lower + (upper - lower) * sigmoid(unbounded)``; on the log scale the
    same between the logarithms of the bounds. All arguments broadcast; units are those of the
    bounds.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(to_physical(jnp.array(0.0), 0.0, 1.0, False))
    0.5
    """
    fraction = jax.nn.sigmoid(unbounded)
    # double where: the logarithm of a non-positive linear bound must never be taken
    safe_lower = jnp.where(log_scale, lower, 1.0)
    safe_ratio = jnp.where(log_scale, upper, 2.0) / safe_lower
    return jnp.where(
        log_scale, safe_lower * safe_ratio**fraction, lower + (upper - lower) * fraction
    )


def to_unbounded(
    physical: jax.Array, lower: jax.Array, upper: jax.Array, log_scale: jax.Array
) -> jax.Array:
    """Invert `to_physical`; a value on a bound is moved inside by one part in 1e9.

    Examples
    --------
    >>> float(to_unbounded(0.5, 0.0, 1.0, False))
    0.0
    """
    safe_lower = jnp.where(log_scale, lower, 1.0)
    safe_upper = jnp.where(log_scale, upper, 2.0)
    safe_physical = jnp.where(log_scale, physical, 1.5)
    fraction = jnp.where(
        log_scale,
        jnp.log(safe_physical / safe_lower) / jnp.log(safe_upper / safe_lower),
        (physical - lower) / (upper - lower),
    )
    fraction = jnp.clip(fraction, 1e-9, 1 - 1e-9)
    return jnp.log(fraction) - jnp.log1p(-fraction)
