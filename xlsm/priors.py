"""What is known of a parameter before any observation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from xlsm.errors import ParameterError

__all__ = ["LogNormal", "Normal", "Prior", "Uniform", "check_middle", "prior_inputs"]


@dataclasses.dataclass(frozen=True)
class Normal:
    """A parameter known to be `mean`, give or take `std`.

    Parameters
    ----------
    mean, std : float or DataArray
        In the units of the parameter; a DataArray where they differ between stations.

    Examples
    --------
    >>> Normal(0.2, 0.05)
    Normal(mean=0.2, std=0.05)
    """

    mean: Any
    std: Any

    def __post_init__(self) -> None:
        """Refuse what are no numbers, and widths that are not positive."""
        _check_numbers(self, mean=self.mean)
        _check_numbers(self, positive=True, std=self.std)


@dataclasses.dataclass(frozen=True)
class LogNormal:
    """A positive parameter whose logarithm is normal: known up to a factor.

    The estimate is the most probable logarithm.

    Parameters
    ----------
    median : float or DataArray
        In the units of the parameter.
    factor : float or DataArray
        By which it may be larger or smaller, as one standard deviation; above one.

    Examples
    --------
    >>> LogNormal(1.0, 1.5)
    LogNormal(median=1.0, factor=1.5)
    """

    median: Any
    factor: Any

    def __post_init__(self) -> None:
        """Refuse what is not positive, and factors that say nothing."""
        _check_numbers(self, positive=True, median=self.median)
        _check_numbers(self, positive=True, factor=self.factor)
        if not _lazy(self.factor) and bool((np.asarray(self.factor) <= 1).any()):
            raise ParameterError(f"factor of {self!r} must be above one")


@dataclasses.dataclass(frozen=True)
class Uniform:
    """A parameter as likely anywhere between two bounds: the same as ``bounds=``.

    Parameters
    ----------
    lower, upper : float
        In the units of the parameter.

    Examples
    --------
    >>> Uniform(0.1, 0.3)
    Uniform(lower=0.1, upper=0.3)
    """

    lower: float
    upper: float


Prior = Normal | LogNormal | Uniform


def prior_inputs(
    priors: Iterable[Prior | None],
) -> tuple[tuple[tuple[int, bool], ...], list[xr.DataArray], list[xr.DataArray]]:
    """Give priors as numbers.

    Parameters
    ----------
    priors : iterable of Normal, LogNormal, Uniform or None
        One for each free parameter; one that is uniform is a matter of bounds.

    Returns
    -------
    places : tuple of (int, bool)
        Which parameters have one, and whether it is of their logarithm.
    means, stds : list of DataArray
        One for each of these.
    """
    places, means, stds = [], [], []
    for index, prior in enumerate(priors):
        if prior is None or isinstance(prior, Uniform):
            continue
        if isinstance(prior, LogNormal):
            middle, width = np.log(prior.median), np.log(prior.factor)
        else:
            middle, width = prior.mean, prior.std
        places.append((index, isinstance(prior, LogNormal)))
        means.append(xr.DataArray(middle).astype(float))
        stds.append(xr.DataArray(width).astype(float))
    return tuple(places), means, stds


def check_middle(name: str, prior: Prior | None, bounds: tuple[float, float]) -> None:
    """Refuse a prior whose middle is outside the bounds; lazy ones are not looked at."""
    if prior is None or isinstance(prior, Uniform):
        return
    middle = prior.median if isinstance(prior, LogNormal) else prior.mean
    if _lazy(middle):
        return
    values = np.asarray(middle)
    if bool(((values <= bounds[0]) | (values >= bounds[1])).any()):
        raise ParameterError(
            f"{name}: the middle of prior={prior!r} must be inside the bounds, {bounds[0]:g} to "
            f"{bounds[1]:g}: widen bounds=, or move the prior"
        )


def _lazy(value: Any) -> bool:
    return isinstance(value, xr.DataArray) and value.chunks is not None


def _check_numbers(prior: Any, *, positive: bool = False, **values: Any) -> None:
    for name, value in values.items():
        real = isinstance(value, xr.DataArray) or np.ndim(value) == 0
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        if not real or dtype.kind not in "iuf":
            raise ParameterError(
                f"{name} of {type(prior).__name__} must be a number, or a DataArray where it "
                f"differs between stations; got {value!r}"
            )
        if positive and not _lazy(value) and not bool((np.asarray(value) > 0).all()):
            raise ParameterError(
                f"{name} of {type(prior).__name__} must be positive; got {value!r}"
            )
