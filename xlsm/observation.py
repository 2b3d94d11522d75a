"""How the caller wants an observation to be compared with the model."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr

from xlsm.errors import ParameterError
from xlsm.priors import LogNormal, Normal, Prior, Uniform

__all__ = ["Observation", "as_text", "from_text", "in_words", "observations_of"]

#: Kinds of priors by name, for text.
PRIORS: dict[str, type[Prior]] = {kind.__name__: kind for kind in (Normal, LogNormal, Uniform)}


@dataclasses.dataclass(frozen=True)
class Observation:
    """How an observable was measured; a plain number in its place is its standard error.

    Parameters
    ----------
    error : float or DataArray, optional
        Standard error in canonical units, a DataArray where it differs between stations or
        depths; by default the usual one.
    depth : float, optional
        Of ``Qg``: depth of the heat flux plate (m). The model gives the flux through that depth,
        so that the heat stored above needs no correction; by default the flux at the surface. A
        ``depth`` among the attributes or coordinates of the variable is not looked at: in files it
        may as well be the depth to which the flux was corrected.
    mean : bool, optional
        Whether each value is the mean over the step that ends at its time, rather than the value
        at that instant; by default what ``cell_methods`` of the variable says (``"time: mean"``).
        The first time ends no step and has no weight.
    depth_error : float or sequence of float, optional
        Of ``SoilTemp``: standard deviation (m) of the depths of the thermometers about those that
        are stated, one for all or one for each, zero where it is exact. Each uncertain one adds a
        parameter, ``sensor_depth_offset_1`` for the first thermometer and so on, estimated with
        the others: how far it lies below its stated depth.
    closure : Normal, LogNormal or Uniform, optional
        Of ``Qh``, ``Qle``, ``Qturb``: what is known of the share of the turbulent fluxes that eddy
        covariance sees. It adds the parameter ``energy_closure``, one for all of them, by which
        the fluxes of the model are multiplied before they are compared.

    Raises
    ------
    ParameterError
        For values that cannot be.

    Notes
    -----
    Residuals, their statistics and identifiability are those of the comparison. What
    ``ds.lsm.simulate`` gives, and with it figures of a fit and the scores of `xlsm.compare`, is the
    model itself: fluxes at the surface and in full, values at the instants, the stated depths.

    Between nodes the temperature of a thermometer whose depth is free is interpolated by cubics
    with a continuous slope (`xlsm.model.profile`), that of others by straight lines.

    Examples
    --------
    >>> import xlsm
    >>> ds = xlsm.tutorial.open_dataset("huang2025")
    >>> est = ds.lsm.estimate(
    ...     ["albedo", "thermal_conductivity"],
    ...     observed={"SoilTemp": xlsm.Observation(0.1, depth_error=(0.0, 0.01))},
    ...     model="huang2025",
    ... )
    >>> est.sensor_depth_offset_2.attrs["units"]
    'm'
    """

    error: Any = None
    depth: float | None = dataclasses.field(default=None, kw_only=True)
    mean: bool | None = dataclasses.field(default=None, kw_only=True)
    depth_error: float | tuple[float, ...] = dataclasses.field(default=0.0, kw_only=True)
    closure: Prior | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what cannot be, whatever is observed."""
        if self.depth is not None and not (_is_number(self.depth) and self.depth >= 0):
            raise ParameterError(
                f"depth of an Observation must be a number of metres, positive down, got "
                f"{self.depth!r}"
            )
        if self.depth is not None:
            object.__setattr__(self, "depth", float(self.depth))
        if self.mean not in (None, True, False):
            raise ParameterError(f"mean of an Observation must be True or False, got {self.mean!r}")
        given: Any = self.depth_error
        several = isinstance(given, Iterable) and not isinstance(given, str)
        each = tuple(given) if several else (given,)
        if not (each and all(_is_number(one) and one >= 0 for one in each)):
            raise ParameterError(
                "depth_error of an Observation must be a number of metres, or one for each depth, "
                f"zero where a depth is exact; got {given!r}"
            )
        metres = tuple(map(float, each))
        object.__setattr__(self, "depth_error", metres if several else metres[0])
        if self.closure is None:
            return
        if not isinstance(self.closure, Prior):
            raise ParameterError(
                "closure of an Observation must be an xlsm.Normal, xlsm.LogNormal or xlsm.Uniform; "
                f"got {self.closure!r}"
            )
        if any(isinstance(part, xr.DataArray) for part in vars(self.closure).values()):
            raise ParameterError(
                f"closure of an Observation must be the same everywhere: give {self.closure!r} "
                "plain numbers"
            )


def observations_of(observed: Any, names: Iterable[str], ds: xr.Dataset) -> dict[str, Observation]:
    """Give how each observable is to be compared, with `mean` filled in.

    Parameters
    ----------
    observed : as the caller gave it
        Only a mapping can hold more than names.
    names : iterable of str
        Those that are fitted.
    ds : Dataset
        For their ``cell_methods``.

    Returns
    -------
    dict of str to Observation
    """
    found = {}
    for name in names:
        given = observed.get(name) if isinstance(observed, Mapping) else None
        known = given if isinstance(given, Observation) else Observation(given)
        if known.mean is None:
            known = dataclasses.replace(known, mean=_is_mean(ds[name]))
        found[name] = known
    return found


def _is_mean(variable: xr.DataArray) -> bool:
    """Whether its cell methods say that it is a mean over time."""
    methods = str(variable.attrs.get("cell_methods", ""))
    return re.search(r"\btime\s*:\s*mean\b", methods) is not None


def as_text(observations: Mapping[str, Observation]) -> str:
    """Write all but the errors, for an attribute; nothing where there is nothing to say.

    Examples
    --------
    >>> as_text({"Qg": Observation(10.0, depth=0.05, mean=False), "LWup": Observation(5.0)})
    '{"Qg": {"depth": 0.05}}'
    """
    told: dict[str, dict[str, Any]] = {}
    for name, one in observations.items():
        parts = {
            "depth": one.depth,
            "mean": True if one.mean else None,
            "depth_error": one.depth_error or None,
            "closure": one.closure
            and [type(one.closure).__name__, *map(float, vars(one.closure).values())],
        }
        said = {key: value for key, value in parts.items() if value is not None}
        if said:
            told[name] = said
    return json.dumps(told) if told else ""


def from_text(text: str) -> dict[str, dict[str, Any]]:
    """Read options of `Observation` from what `as_text` wrote.

    Examples
    --------
    >>> from_text('{"Qh": {"closure": ["Normal", 0.8, 0.1]}}')
    {'Qh': {'closure': Normal(mean=0.8, std=0.1)}}
    """
    told: dict[str, dict[str, Any]] = json.loads(text) if text else {}
    for options in told.values():
        if "closure" in options:
            kind, *numbers = options["closure"]
            options["closure"] = PRIORS[kind](*numbers)
    return told


def in_words(options: Mapping[str, Any]) -> str:
    """Say how an observable was compared, from its part of `from_text`.

    Examples
    --------
    >>> in_words({"depth": 0.05, "mean": True})
    ' (fitted at 0.05 m, as means)'
    """
    words = {
        "depth": "at {:g} m",
        "mean": "as means",
        "depth_error": "with uncertain depths",
        "closure": "times energy_closure",
    }
    parts = [words[key].format(value) for key, value in options.items()]
    return f" (fitted {', '.join(parts)})" if parts else ""


def _is_number(value: Any) -> bool:
    """Whether something is a finite number."""
    try:
        return not isinstance(value, bool | str) and math.isfinite(value)
    except TypeError:
        return False
