"""Parameters of the instruments, which the model does not know, and what makes them needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from xlsm.errors import DimensionError, ParameterError
from xlsm.free import Parameter
from xlsm.inference.operators import ENERGY_CLOSURE, OFFSET, Operator
from xlsm.model.model import Model
from xlsm.model.parameters import ParameterSpec
from xlsm.observation import Observation
from xlsm.priors import Normal

__all__ = ["EDDY", "Nuisance", "is_nuisance", "operators_of"]

#: Observables of eddy covariance.
EDDY = ("Qh", "Qle", "Qturb")
#: Standard deviations within which a depth must be found.
WITHIN = 10.0


class Nuisance(NamedTuple):
    """A free parameter of an instrument."""

    spec: ParameterSpec
    treatment: Parameter


def is_nuisance(name: str) -> bool:
    """Whether a parameter is an instrument's.

    Examples
    --------
    >>> is_nuisance("sensor_depth_offset_2"), is_nuisance("albedo")
    (True, False)
    """
    return name == ENERGY_CLOSURE.name or name.startswith(f"{OFFSET.name}_")


def operators_of(
    observations: Mapping[str, Observation],
    model: Model,
    metres: np.ndarray[Any, Any],
    followed: np.ndarray[Any, Any],
    around: Mapping[str, Any],
) -> tuple[tuple[Operator, ...], list[Nuisance]]:
    """Say how each observable is seen, and with which parameters.

    Parameters
    ----------
    observations : mapping of str to Observation
        Of all that is fitted.
    model : Model
        Resolved.
    metres : array, shape (depth,)
        Depths of the soil temperatures.
    followed : bool array, shape (depth,)
        Which of them the model is told.
    around : mapping of str to number or DataArray
        First guesses of the parameters, where the middle of their prior will not do.

    Returns
    -------
    operators : tuple of Operator
        One for each observable; none where all are what the model gives.
    nuisances : list of Nuisance

    Raises
    ------
    ParameterError
        For an option that does not belong to its observable.
    DimensionError
        For a plate outside the column.
    """
    for name, one in observations.items():
        _check(name, one, model)
    offsets = _offsets(observations.get("SoilTemp"), model, metres, followed)
    closure = _closure(observations)
    operators = tuple(
        Operator(
            depth=one.depth,
            mean=bool(one.mean),
            factor="" if one.closure is None else ENERGY_CLOSURE.name,
            offsets=tuple(n.spec.name if n else "" for n in offsets) if name == "SoilTemp" else (),
        )
        for name, one in observations.items()
    )
    nuisances = [
        n._replace(treatment=dataclasses.replace(n.treatment, initial=around.get(n.spec.name)))
        for n in (*closure, *offsets)
        if n
    ]
    return (operators if any(one != Operator() for one in operators) else ()), nuisances


def _check(name: str, one: Observation, model: Model) -> None:
    """Refuse options that say nothing of this observable."""
    if one.depth_error and name != "SoilTemp":
        raise ParameterError(
            f"{name} has no thermometers: depth_error= is for SoilTemp, leave it out"
        )
    if one.closure is not None and name not in EDDY:
        raise ParameterError(
            f"{name} is no flux of eddy covariance: closure= is for {', '.join(EDDY)}, leave it out"
        )
    if one.depth is None:
        return
    if name != "Qg":
        what = "its depths are its coordinate 'depth'" if name == "SoilTemp" else "it has none"
        raise ParameterError(f"depth= is for Qg; leave it out for {name}: {what}")
    top, bottom = model.layout.top, model.layout.depth
    if not top <= one.depth <= bottom:
        raise DimensionError(
            f"The heat flux plate at {one.depth:g} m is outside the soil column, {top:g} to "
            f"{bottom:g} m: give its depth in metres, or the model another grid"
        )


def _closure(observations: Mapping[str, Observation]) -> list[Nuisance]:
    """Find the one factor of all eddy fluxes."""
    eddy = {name: one.closure for name, one in observations.items() if name in EDDY}
    first = next((prior for prior in eddy.values() if prior is not None), None)
    if first is None:
        return []
    if any(prior != first for prior in eddy.values()):
        raise ParameterError(
            f"{' and '.join(eddy)} come from one instrument, with one energy closure: give all of "
            f"them the same closure=, got {', '.join(map(repr, eddy.values()))}"
        )
    return [Nuisance(ENERGY_CLOSURE, Parameter(prior=first))]


def _offsets(
    one: Observation | None,
    model: Model,
    metres: np.ndarray[Any, Any],
    followed: np.ndarray[Any, Any],
) -> list[Nuisance | None]:
    """Find the offset of each thermometer; None for one whose depth is exact."""
    if one is None or not one.depth_error:
        return []
    given = np.ravel(one.depth_error)
    if isinstance(one.depth_error, tuple) and given.size != metres.size:
        raise ParameterError(
            f"depth_error of SoilTemp is given for {given.size} depths, but SoilTemp is observed "
            f"at {metres.size}: give one for each, or a number"
        )
    errors = np.broadcast_to(given, metres.shape)
    offsets: list[Nuisance | None] = []
    for i, (depth, error) in enumerate(zip(metres.tolist(), errors.tolist(), strict=True)):
        if error == 0 or followed[i]:  # what the model is told is where it says
            offsets.append(None)
            continue
        lower = max(model.layout.top - depth, -WITHIN * error)
        upper = min(model.layout.depth - depth, WITHIN * error)
        if not lower < 0 < upper:
            exact = tuple(0.0 if k == i else e for k, e in enumerate(errors.tolist()))
            raise ParameterError(
                f"The thermometer at {depth:g} m is at the end of the soil column, where it cannot "
                f"lie on either side: its depth must be exact, depth_error={exact}"
            )
        spec = dataclasses.replace(
            OFFSET,
            name=f"{OFFSET.name}_{i + 1}",
            symbol=f"{OFFSET.symbol}_{i + 1}",
            bounds=(lower, upper),
            meaning=f"depth of the thermometer stated at {depth:g} m, less that",
        )
        offsets.append(Nuisance(spec, Parameter(prior=Normal(0.0, error))))
    return offsets
