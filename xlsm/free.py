"""The free parameters of an estimation: how the caller wants them treated, and from where."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from xlsm.arguments import parameter_values
from xlsm.errors import ParameterError
from xlsm.model.model import Model
from xlsm.model.parameters import ParameterSpec
from xlsm.priors import LogNormal, Normal, Prior, Uniform, check_middle
from xlsm.series import varies
from xlsm.simulate import complete

__all__ = [
    "Parameter",
    "bounds_of",
    "check_whole",
    "guess_of",
    "is_real",
    "refuse_series",
    "values_of",
    "wanted_of",
]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """How to treat a free parameter.

    Parameters
    ----------
    bounds : tuple of float, optional
        Limits (lower, upper) in the parameter's units, inside its physical bounds, which are
        the default.
    initial : float or DataArray, optional
        First guess; by default the middle of the prior, or else the parameter's default value.
    prior : Normal, LogNormal or Uniform, optional
        What is known before; by default nothing but the bounds. With ``every`` it is of each
        value.
    every : str or timedelta, optional
        Makes the parameter vary in time: a value for each ``"6h"``, ``"1D"``, ``"10D"``, counted
        from midnight, or each ``"month"``, ``"season"`` or ``"year"``. Each holds for the steps
        that end in its piece of the record, which must have forcing from its first time on at
        every station.
    interpolation : {"piecewise", "linear"}
        With ``"linear"`` the values are those at the start of each piece, and at the end of the
        last, and the parameter is linear between them.
    smooth : float or "estimated", optional
        How much the parameter changes from one value to the next, as a standard deviation: in
        its units, or, for one that is transformed on a logarithmic scale (conductivity, heat
        capacity, transfer coefficients), as a part of it. It makes the values a random walk, and
        days without observations take from their neighbours. ``"estimated"`` finds it from the
        data. By default values know nothing of each other.

    Examples
    --------
    >>> Parameter(bounds=(0.1, 0.4)).bounds
    (0.1, 0.4)
    >>> Parameter(every="1D", smooth=0.01).every
    '1D'
    """

    bounds: tuple[float, float] | None = None
    initial: Any = None
    prior: Prior | None = None
    every: Any = None
    interpolation: Literal["piecewise", "linear"] = "piecewise"
    smooth: float | Literal["estimated"] | None = None

    def __post_init__(self) -> None:
        """Refuse what can be no bounds and no first guess, whatever the parameter."""
        if self.bounds is not None and not (np.shape(self.bounds) == (2,) and is_real(self.bounds)):
            raise ParameterError(f"bounds must be two numbers, (lower, upper); got {self.bounds!r}")
        if self.prior is not None and not isinstance(self.prior, Prior):
            raise ParameterError(
                f"prior must be an xlsm.Normal, xlsm.LogNormal or xlsm.Uniform; got {self.prior!r}"
            )
        if isinstance(self.prior, Uniform):
            same = (self.prior.lower, self.prior.upper)
            if self.bounds not in (None, same):
                raise ParameterError("bounds and a Uniform prior say the same: leave one out")
            object.__setattr__(self, "bounds", same)
        guess = self.initial
        if guess is not None and not (
            is_real(guess) and (isinstance(guess, xr.DataArray) or np.ndim(guess) == 0)
        ):
            raise ParameterError(
                f"initial must be a number, or a DataArray where it differs between stations; "
                f"got {guess!r}"
            )
        if varies(guess):
            raise ParameterError(
                f"initial must be constant in time, got one with the dimensions {guess.dims}; "
                "take its mean, or hold the parameter at its values, fixed={...: ...}"
            )
        self._check_time()

    def _check_time(self) -> None:
        """Refuse what says nothing of how it varies in time."""
        if self.interpolation not in ("piecewise", "linear"):
            raise ParameterError(
                f"interpolation must be 'piecewise' or 'linear', got {self.interpolation!r}"
            )
        if self.every is None and (self.smooth is not None or self.interpolation != "piecewise"):
            raise ParameterError(
                "smooth= and interpolation= are of a parameter that varies in time: say how often, "
                "e.g. every='1D'"
            )
        if self.smooth is None or self.smooth == "estimated":
            return
        if np.ndim(self.smooth) or not is_real(self.smooth) or not 0 < self.smooth < math.inf:
            raise ParameterError(
                f"smooth must be a positive number, or 'estimated'; got {self.smooth!r}"
            )


def is_real(values: Any) -> bool:
    """Whether something holds real numbers; lazy data are not computed."""
    dtype = values.dtype if hasattr(values, "dtype") else np.asarray(values).dtype
    return dtype.kind in "iuf"


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse a count or a seed that is no whole number, or too small.

    Examples
    --------
    >>> check_whole("starts", 0, least=1)
    Traceback (most recent call last):
    ...
    xlsm.errors.ParameterError: starts must be a whole number of at least 1, got 0
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value < 2**31:
        raise ParameterError(f"{name} must be a whole number of at least {least}, got {value!r}")


def wanted_of(free: str | Iterable[str] | Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Names of the free parameters and how to treat them."""
    names = [free] if isinstance(free, str) else free
    wanted = dict(names) if isinstance(names, Mapping) else {n: Parameter() for n in names}
    if not wanted:
        raise ParameterError('there is nothing to estimate: name parameters, e.g. free=["albedo"]')
    for name, treatment in wanted.items():
        if not isinstance(treatment, Parameter):
            raise ParameterError(
                f"free[{name!r}] must be an xlsm.Parameter, got {treatment!r}; a known value "
                f"belongs into fixed={{{name!r}: ...}}"
            )
    return wanted


def refuse_series(free: Mapping[str, Parameter], verb: str) -> None:
    """Refuse parameters that vary in time, for a verb that looks at constants."""
    for name, treatment in free.items():
        if treatment.every is not None:
            raise ParameterError(
                f"{verb} looks at parameters that are constant in time: leave out every= of "
                f"{name}, or hold {name} at values of an estimate"
            )


def values_of(
    wanted: Mapping[str, Parameter], fixed: Mapping[str, Any] | xr.Dataset | None, model: Model
) -> tuple[list[xr.DataArray], dict[str, xr.DataArray]]:
    """First guesses of the free parameters, and values of all others."""
    known = model.parameters
    if fixed is not None and not isinstance(fixed, Mapping):
        raise ParameterError(
            f"fixed must map names to values, e.g. {{'emissivity': 0.95}}; got {fixed!r}"
        )
    given = {str(name): value for name, value in (fixed or {}).items()}
    if isinstance(fixed, xr.Dataset):  # an estimate: what is free now is no longer fixed
        given = {name: v for name, v in given.items() if name in known and name not in wanted}
    both = [name for name in wanted if name in given]
    if both:
        raise ParameterError(f"{', '.join(both)}: free and fixed at once; leave out one of them")
    guesses = {
        name: guess_of(treatment, known[name]) if name in known else 0.0
        for name, treatment in wanted.items()
    }
    for name, treatment in wanted.items():
        if name in known:
            check_middle(name, treatment.prior, bounds_of(treatment, known[name]))
    checked = parameter_values({**given, **guesses}, model)
    for name, treatment in wanted.items():
        _check_inside(checked[name], bounds_of(treatment, known[name]))
    unused = set(wanted) - set(model.used(checked))
    if unused:
        raise ParameterError(f"{', '.join(unused)} cannot be estimated: the model does not use it")
    return (
        [checked[name] for name in wanted],
        complete({name: checked[name] for name in given}, model, wanted),
    )


def guess_of(treatment: Parameter, spec: ParameterSpec) -> Any:
    """Where to start: as told, at the default, or amid the caller's bounds."""
    lower, upper = bounds_of(treatment, spec)
    if treatment.initial is None and isinstance(treatment.prior, Normal):
        return treatment.prior.mean
    if treatment.initial is None and isinstance(treatment.prior, LogNormal):
        return treatment.prior.median
    if treatment.initial is None:
        if lower < spec.default < upper:
            return spec.default
        return math.sqrt(lower * upper) if spec.scale == "log" else (lower + upper) / 2
    return treatment.initial


def _check_inside(guess: xr.DataArray, bounds: tuple[float, float]) -> None:
    """Refuse first guesses outside the caller's bounds; lazy ones are not looked at."""
    lower, upper = bounds
    if guess.chunks is None and ((guess < lower) | (guess > upper)).any():
        outside = guess.values[((guess < lower) | (guess > upper)).values].flat[0]
        raise ParameterError(
            f"{guess.name}: initial={outside:g} is outside bounds=({lower:g}, {upper:g})"
        )


def bounds_of(treatment: Parameter, spec: ParameterSpec) -> tuple[float, float]:
    """Give the caller's bounds, which must lie inside the physical ones, or else these."""
    if treatment.bounds is None:
        return spec.bounds
    lower, upper = map(float, treatment.bounds)
    if not spec.bounds[0] <= lower < upper <= spec.bounds[1]:
        units = "" if spec.units == "1" else f" {spec.units}"
        raise ParameterError(
            f"{spec.name}: bounds=({lower:g}, {upper:g}) must be ordered and inside the physical "
            f"bounds, {spec.bounds[0]:g} to {spec.bounds[1]:g}{units}"
        )
    return lower, upper
