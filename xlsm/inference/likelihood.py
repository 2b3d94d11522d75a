"""How residuals count: one class a likelihood."""

from __future__ import annotations

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp

from xlsm.errors import ParameterError

__all__ = ["LIKELIHOODS", "Gaussian", "Huber", "Likelihood", "StudentT"]


@dataclasses.dataclass(frozen=True)
class Likelihood(abc.ABC):
    """Minus the logarithm of the likelihood of a residual over its standard error.

    All methods work element by element, on arrays of any shape.
    """

    @abc.abstractmethod
    def loss(self, residual: jax.Array) -> jax.Array:
        """Give rho(r), without constants: r^2 / 2 near zero, or a multiple of it."""

    @abc.abstractmethod
    def weight(self, residual: jax.Array) -> jax.Array:
        """Give rho'(r) / r, which a weighted least squares step takes."""

    @abc.abstractmethod
    def curvature(self, residual: jax.Array) -> jax.Array:
        """Give rho''(r)."""


@dataclasses.dataclass(frozen=True)
class Gaussian(Likelihood):
    """Independent normal errors: least squares.

    Examples
    --------
    >>> float(Gaussian().loss(2.0))
    2.0
    """

    def loss(self, residual: jax.Array) -> jax.Array:
        """Give r^2 / 2."""
        return 0.5 * residual**2

    def weight(self, residual: jax.Array) -> jax.Array:
        """Give one."""
        return jnp.ones_like(residual)

    def curvature(self, residual: jax.Array) -> jax.Array:
        """Give one."""
        return jnp.ones_like(residual)


@dataclasses.dataclass(frozen=True)
class Huber(Likelihood):
    """Squares of small residuals, absolute values of large ones (Huber 1964 [1]_).

    Parameters
    ----------
    threshold : float
        Residual, in standard errors, from which it grows linearly; at 1.345 it keeps 95 % of the
        efficiency of least squares where errors are normal.

    References
    ----------
    .. [1] Huber, P. J. (1964), Ann. Math. Stat. 35, 73-101.

    Examples
    --------
    >>> float(Huber(1.0).loss(3.0))
    2.5
    """

    threshold: float = 1.345

    def __post_init__(self) -> None:
        """Refuse what is no threshold."""
        _positive(self, self.threshold, "threshold")

    def loss(self, residual: jax.Array) -> jax.Array:
        """Give r^2 / 2 up to the threshold k, k |r| - k^2 / 2 beyond."""
        near = jnp.clip(residual, -self.threshold, self.threshold)
        return near * residual - 0.5 * near**2

    def weight(self, residual: jax.Array) -> jax.Array:
        """Give one up to the threshold k, k / |r| beyond."""
        return self.threshold / jnp.maximum(jnp.abs(residual), self.threshold)

    def curvature(self, residual: jax.Array) -> jax.Array:
        """Give one up to the threshold, zero beyond."""
        return jnp.where(jnp.abs(residual) <= self.threshold, 1.0, jnp.zeros_like(residual))


@dataclasses.dataclass(frozen=True)
class StudentT(Likelihood):
    """Errors of Student's t distribution: what is far off counts ever less [1]_.

    Parameters
    ----------
    degrees : float
        Degrees of freedom; the fewer, the heavier the tails.

    References
    ----------
    .. [1] Lange, K. L., Little, R. J. A. & Taylor, J. M. G. (1989), J. Am. Stat. Assoc. 84,
       881-896.

    Examples
    --------
    >>> round(float(StudentT(4.0).weight(2.0)), 3)
    0.625
    """

    degrees: float = 4.0

    def __post_init__(self) -> None:
        """Refuse what are no degrees of freedom."""
        _positive(self, self.degrees, "degrees")

    def loss(self, residual: jax.Array) -> jax.Array:
        """Give (nu + 1)/2 log(1 + r^2 / nu)."""
        return 0.5 * (self.degrees + 1) * jnp.log1p(residual**2 / self.degrees)

    def weight(self, residual: jax.Array) -> jax.Array:
        """Give (nu + 1) / (nu + r^2)."""
        return (self.degrees + 1) / (self.degrees + residual**2)

    def curvature(self, residual: jax.Array) -> jax.Array:
        """Give (nu + 1) (nu - r^2) / (nu + r^2)^2."""
        square = residual**2
        return (self.degrees + 1) * (self.degrees - square) / (self.degrees + square) ** 2


def _positive(likelihood: Likelihood, value: float, name: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ParameterError(
            f"{name} of {type(likelihood).__name__} must be positive, got {value!r}"
        )


#: Those that can be asked for by name.
LIKELIHOODS: dict[str, Likelihood] = {
    "gaussian": Gaussian(),
    "huber": Huber(),
    "student_t": StudentT(),
}
