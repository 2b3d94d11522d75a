"""The model run through time, its residuals shown to a visitor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from xlsm.inference.counterpart import counterparts
from xlsm.inference.problem import Data, Problem, parameters_of, series_of
from xlsm.inference.view import look, reader
from xlsm.model import column

__all__ = ["Residuals", "Row", "first_of", "in_blocks", "rows_of", "watch", "where_seen", "whiten"]

Values = Mapping[str, jax.Array]
T = TypeVar("T")

#: Times up to which reverse mode keeps the state of each of them.
SHORT = 512


class Residuals(NamedTuple):
    """Model minus observations at one time, over their standard errors.

    Parameters
    ----------
    values : list of array, shapes (channels, ...)
        One for each observable; zero where it is missing.
    there : list of bool array, shapes (channels, ...)
        Where it is not.
    """

    values: list[jax.Array]
    there: list[jax.Array]


class Row(NamedTuple):
    """What a step is given: of its time, and of the one after it."""

    forcing: Values
    observations: Values
    series: Values
    next_forcing: Values
    next_series: Values


def rows_of(data: Data, series: Values, times: int | None = None) -> Row:
    """Give the rows of all times, and, up to a number of times, further ones without observations.

    After the last time a step is taken that nobody looks at: cheaper than to compile what is
    done at each time once more for the first.
    """

    def longer(values: jax.Array, more: int) -> jax.Array:
        return jnp.concatenate([values, jnp.repeat(values[-1:], more, axis=0)]) if more else values

    count = len(next(iter(data.forcing.values())))
    more = 0 if times is None else times - count

    def following(values: jax.Array) -> jax.Array:
        return longer(values[1:], more + 1)

    here = partial(longer, more=more)
    seen = data.observations
    if more:
        seen = {n: jnp.concatenate([v, jnp.full_like(v[:more], jnp.nan)]) for n, v in seen.items()}
    return Row(
        forcing=jax.tree.map(here, data.forcing),
        observations=seen,
        series=jax.tree.map(here, series),
        next_forcing=jax.tree.map(following, data.forcing),
        next_series=jax.tree.map(following, series),
    )


def in_blocks(rows: Any, blocks: int) -> Any:
    """Give rows (blocks * length, ...) a leading axis of blocks."""
    return jax.tree.map(lambda values: values.reshape(blocks, -1, *values.shape[1:]), rows)


def where_seen(problem: Problem, seen: Values) -> list[jax.Array]:
    """Where there are observations at one time: (channels, ...) of each."""
    return [~jnp.isnan(seen[name]) for name in problem.observed]


def whiten(
    problem: Problem, predicted: Values, there: Sequence[jax.Array], data: Data, seen: Values
) -> list[jax.Array]:
    """Residuals over their standard errors, zero where missing: (channels, ...) of each."""
    residuals = []
    for name, known in zip(problem.observed, there, strict=True):
        # the inner where keeps NaN out of the derivative of the outer one
        difference = predicted[name] - jnp.where(known, seen[name], 0.0)
        residuals.append(jnp.where(known, difference / data.errors[name], 0.0))
    return residuals


def first_of(series: Values) -> Values:
    """Give the values of the first time."""
    return {name: values[0] for name, values in series.items()}


def watch(
    problem: Problem,
    data: Data,
    unbounded: jax.Array,
    visit: Callable[[T, Residuals], T],
    total: T,
) -> T:
    """Run the model and show the residuals of every time to a visitor, in their order.

    In reverse mode a long run keeps its state only at the start of each of some blocks, as many
    as there are times in each, and runs each block again when its turn comes: memory grows with
    the root of the number of times, for one more run (Griewank & Walther 2000 [1]_).

    Parameters
    ----------
    problem : Problem
        What is estimated.
    data : Data
        The numbers.
    unbounded : array, shape (P, ...)
        The free values on the real line.
    visit : callable
        Takes what it gave at the time before, and the residuals. Of a long run it may be shown
        some more times, at the end, without observations.
    total : tree of arrays
        What it is given at the first time.

    Returns
    -------
    tree of arrays
        What it gave at the last time; differentiable in reverse and forward mode.

    References
    ----------
    .. [1] Griewank, A. & Walther, A. (2000), ACM Trans. Math. Softw. 26, 19-45.
    """
    model = problem.model
    constant = parameters_of(problem, data, unbounded)
    series = series_of(problem, data, unbounded)
    operator = column.constant_operator(model, constant, data.dt, series)
    first = {**constant, **first_of(series)}
    read = reader(problem, data, first)

    def body(carry: Any, row: Row) -> tuple[Any, None]:
        state, past, total = carry
        parameters = {**constant, **row.series}
        view = look(model, read, parameters, state, row.forcing)
        predicted = counterparts(problem, data, read, parameters, past, (view, row.forcing))
        there = where_seen(problem, row.observations)
        whitened = whiten(problem, predicted, there, data, row.observations)
        total = visit(total, Residuals(whitened, there))
        coming = {**constant, **row.next_series}
        state = column.step(model, coming, operator, state, row.forcing, row.next_forcing, data.dt)
        return (state, (view, row.forcing) if past else None, total), None

    state = column.begin(model, first, data.forcing, data.start, data.dt)
    past = None
    if problem.means:  # of the first time, which ends no step, nothing is observed
        now = first_of(data.forcing)
        past = look(model, read, first, state, now), now
    carry = (state, past, total)
    times = len(next(iter(data.forcing.values())))
    if times <= SHORT:
        return jax.lax.scan(body, carry, rows_of(data, series))[0][2]

    length = math.ceil(math.sqrt(times))
    blocks = -(-times // length)

    def block(carry: Any, rows: Row) -> tuple[Any, None]:
        return jax.lax.scan(body, carry, rows)

    rows = in_blocks(rows_of(data, series, blocks * length), blocks)
    ended, _ = jax.lax.scan(jax.checkpoint(block, prevent_cse=False), carry, rows)
    return ended[2]
