"""What is estimated, from which numbers, and what is known before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xlsm.inference.likelihood import Gaussian, Likelihood
from xlsm.inference.operators import Operator
from xlsm.inference.series import Series
from xlsm.model.model import Model
from xlsm.model.parameters import to_physical

__all__ = [
    "Data",
    "Prior",
    "Problem",
    "natural",
    "parameters_of",
    "per_station",
    "physical",
    "series_of",
    "station_axes",
]

Values = Mapping[str, jax.Array]

#: Free values up to which all derivatives are carried forward in time; with more of them the
#: gradient goes backward.
FEW = 24


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is estimated, and from what: everything but the numbers.

    Parameters
    ----------
    model : Model
        The forward model.
    free : tuple of str
        Names of the estimated values, P of them: parameters of the model, or of an operator, or
        one value of a `Series`.
    observed : tuple of str
        Names of the observables; ``"SoilTemp"`` stands for as many channels as there are depths.
    likelihoods : tuple of Likelihood
        One for each observable; where there is none, errors are normal.
    operators : tuple of Operator
        One for each observable; where there is none, it is what the model gives at its time.
    series : tuple of Series
        Parameters whose values, among the free ones, are those of pieces of the record.
    given : tuple of str
        Those of the fixed parameters that vary in time.
    """

    model: Model
    free: tuple[str, ...]
    observed: tuple[str, ...]
    likelihoods: tuple[Likelihood, ...] = ()
    operators: tuple[Operator, ...] = ()
    series: tuple[Series, ...] = ()
    given: tuple[str, ...] = ()

    @property
    def varying(self) -> tuple[str, ...]:
        """Names of the parameters that vary in time."""
        return (*(one.name for one in self.series), *self.given)

    @property
    def owners(self) -> tuple[str, ...]:
        """Name of the parameter that each free value is one of."""
        names = list(self.free)
        for one in self.series:
            names[one.values] = [one.name] * len(one.knots)
        return tuple(names)

    @property
    def backward(self) -> bool:
        """Whether there are so many free values that the gradient goes backward in time."""
        return bool(self.series) and len(self.free) > FEW

    def likelihood(self, index: int) -> Likelihood:
        """Likelihood of the observable of that index."""
        return self.likelihoods[index] if self.likelihoods else Gaussian()

    def operator(self, index: int) -> Operator:
        """Operator of the observable of that index."""
        return self.operators[index] if self.operators else Operator()

    @property
    def means(self) -> bool:
        """Whether any observable is a mean over the step."""
        return any(operator.mean for operator in self.operators)

    @property
    def nuisances(self) -> frozenset[str]:
        """Names of the parameters that the model does not know."""
        return frozenset(name for operator in self.operators for name in operator.nuisances)


class Prior(NamedTuple):
    """What is known of the free parameters before any observation: a normal distribution.

    Parameters
    ----------
    mean, std : array, shape (P, ...)
        Of the parameter, or of its logarithm; the standard deviation is infinite where nothing
        is known.
    of_logarithm : bool array, shape (P,)
        Whether it is the logarithm that is normal.
    """

    mean: jax.Array
    std: jax.Array
    of_logarithm: jax.Array

    def residuals(self, values: jax.Array) -> jax.Array:
        """Distance of parameters (P, ...) from the mean, in standard deviations."""
        log = self.of_logarithm.reshape((-1,) + (1,) * (values.ndim - 1))
        # double where: the logarithm of what is not positive must never be taken
        natural = jnp.where(log, jnp.log(jnp.where(log, values, 1.0)), values)
        return (natural - self.mean) / self.std


class Data(NamedTuple):
    """The numbers of a batch of stations; batch axes last, written as ``...``.

    Parameters
    ----------
    forcing : mapping of str to array, shape (time, ...)
        Forcing of the model.
    start : mapping of str to array
        What was observed at the first time; see `xlsm.model.initial.Initial`.
    fixed : mapping of str to array, shape (...)
        Parameters that are not estimated; (time, ...) those that vary.
    observations : mapping of str to array, shape (time, channels, ...)
        One entry for each observable; ``SoilTemp`` has a channel a depth, the others one.
        NaN is missing. A mean over the step has none at the first time.
    errors : mapping of str to array, shape () or (channels, ...)
        Standard error of each observable, in its units.
    dt : array, shape ()
        Time step (s).
    depths : array, shape (z,)
        Depths of the soil temperatures (m).
    lower, upper : array, shape (P,)
        Bounds of the free parameters.
    log_scale : bool array, shape (P,)
        Which of them are transformed on a logarithmic scale.
    prior : Prior, optional
        What is known of the free parameters before, beside their bounds.
    walk : array, shape (series, ...), optional
        Standard deviation of the change from one value of a series to the next, in its units, or
        of its logarithm where it is transformed on a logarithmic scale; infinite where nothing
        is known.
    """

    forcing: Mapping[str, jax.Array]
    start: Mapping[str, jax.Array]
    fixed: Mapping[str, jax.Array]
    observations: Mapping[str, jax.Array]
    errors: Mapping[str, jax.Array]
    dt: jax.Array
    depths: jax.Array
    lower: jax.Array
    upper: jax.Array
    log_scale: jax.Array
    prior: Prior | None = None
    walk: jax.Array | None = None


def per_station(data: Data, change: Callable[[jax.Array], jax.Array]) -> Data:
    """Apply a change of the last axis to everything that has one a station."""

    def of_errors(values: jax.Array) -> jax.Array:
        return change(values) if jnp.ndim(values) else values

    prior = data.prior
    if prior is not None:
        prior = prior._replace(mean=change(prior.mean), std=change(prior.std))
    return data._replace(
        forcing=jax.tree.map(change, data.forcing),
        start=jax.tree.map(change, data.start),
        fixed=jax.tree.map(change, data.fixed),
        observations=jax.tree.map(change, data.observations),
        errors=jax.tree.map(of_errors, data.errors),
        prior=prior,
        walk=None if data.walk is None else change(data.walk),
    )


def station_axes(data: Data) -> Any:
    """Say for `jax.vmap` which axis of what has the stations: the last, or none."""
    shared = "dt", "depths", "lower", "upper", "log_scale"
    axes: Any = per_station(data, lambda _: -1)  # type: ignore[arg-type, return-value]
    axes = axes._replace(
        errors={name: -1 if jnp.ndim(error) else None for name, error in data.errors.items()},
        **dict.fromkeys(shared),
    )
    return axes if axes.prior is None else axes._replace(prior=Prior(-1, -1, None))  # type: ignore[arg-type]


def physical(data: Data, unbounded: jax.Array) -> jax.Array:
    """Free parameters in physical units from those on the real line, shape (P, ...)."""
    tail = (-1,) + (1,) * (unbounded.ndim - 1)
    bounds = (data.lower.reshape(tail), data.upper.reshape(tail), data.log_scale.reshape(tail))
    return to_physical(unbounded, *bounds)


def natural(data: Data, values: jax.Array) -> jax.Array:
    """Free parameters (P, ...) as they are, or their logarithms, as they are transformed."""
    log = data.log_scale.reshape((-1,) + (1,) * (values.ndim - 1))
    # double where: the logarithm of what is not positive must never be taken
    return jnp.where(log, jnp.log(jnp.where(log, values, 1.0)), values)


def parameters_of(problem: Problem, data: Data, unbounded: jax.Array) -> dict[str, jax.Array]:
    """All constant parameters by name from the unbounded free values, shape (P, ...)."""
    values = dict(zip(problem.free, physical(data, unbounded), strict=True))
    for one in problem.series:
        for name in problem.free[one.values]:
            del values[name]
    fixed = {name: value for name, value in data.fixed.items() if name not in problem.given}
    return {**fixed, **values}


def series_of(problem: Problem, data: Data, unbounded: jax.Array) -> dict[str, jax.Array]:
    """All parameters that vary, by name, (time, ...), from the unbounded free values (P, ...)."""
    series = {name: data.fixed[name] for name in problem.given}
    if problem.series:
        values = physical(data, unbounded)
        times = len(next(iter(data.forcing.values())))
    for one in problem.series:
        before, after, share = one.place(times)
        own = values[one.values]
        series[one.name] = own[before]
        if one.linear:
            part = share.reshape((-1,) + (1,) * (values.ndim - 1))
            series[one.name] += part * (own[after] - own[before])
    return series
