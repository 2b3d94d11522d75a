"""First guesses from the data, where the classical ways have one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import xarray as xr

from xlsm.diffusivity import diffusivity
from xlsm.errors import LSMError
from xlsm.free import Parameter, bounds_of
from xlsm.model.model import Model

__all__ = ["with_classical_guesses"]


def with_classical_guesses(
    wanted: Mapping[str, Parameter], ds: xr.Dataset, model: Model
) -> dict[str, Parameter]:
    """Start free diffusivities from the harmonic estimator, unless told where to start.

    The waves of soil temperature give a diffusivity for every two neighbouring depths; their
    median, inside the bounds, is the guess for all layers. Where they give none (one depth, less
    than a day, no daily wave) the default stands.

    Parameters
    ----------
    wanted : mapping of str to Parameter
        The free parameters.
    ds : Dataset
        With ``SoilTemp``, or without.
    model : Model
        Whose parameters they are.

    Returns
    -------
    dict of str to Parameter

    Examples
    --------
    >>> import xlsm
    >>> ds = xlsm.tutorial.open_dataset("twin").isel(station=0)
    >>> guess = with_classical_guesses({"thermal_diffusivity": Parameter()}, ds, Model())
    >>> bool(1e-7 < guess["thermal_diffusivity"].initial < 2e-6)
    True
    """
    open_names = [
        name
        for name, treatment in wanted.items()
        if name.startswith("thermal_diffusivity")
        and name in model.parameters
        and treatment.initial is None
    ]
    if not open_names:
        return dict(wanted)
    try:
        between = diffusivity(ds, estimators="harmonic").diffusivity.isel(estimator=0, drop=True)
    except LSMError:
        return dict(wanted)
    median = between.chunk(layer=-1) if between.chunks is not None else between
    median = median.median("layer").drop_attrs()
    guessed = dict(wanted)
    for name in open_names:
        spec = model.parameters[name]
        lower, upper = bounds_of(wanted[name], spec)
        # a guess on a bound would stay there
        inside = median.clip(1.1 * lower, 0.9 * upper).fillna(
            spec.default if lower < spec.default < upper else (lower * upper) ** 0.5
        )
        guessed[name] = dataclasses.replace(wanted[name], initial=inside)
    return guessed
