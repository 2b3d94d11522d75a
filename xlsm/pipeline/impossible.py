"""Parameters that the data contradict: flagged station by station, refused where all are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xlsm.errors import ParameterError
from xlsm.model.model import Model
from xlsm.model.piece import Piece
from xlsm.pipeline.blocks import apply_blocks, implausible, to_batch
from xlsm.variables import plausible

__all__ = ["impossible", "refuse_impossible"]

Array = np.ndarray[Any, np.dtype[Any]]


def impossible(
    model: Model, forcing: Mapping[str, Array], parameters: Mapping[str, Array], size: int
) -> Array:
    """Mark the stations that a piece of the model finds impossible.

    Parameters
    ----------
    model : Model
        Whose pieces are asked; see `Piece.impossible`.
    forcing : mapping of str to array, shapes (time, n) or (time, depth, n)
        Forcing of the model.
    parameters : mapping of str to array, shape (n,)
        Constant parameters in use.
    size : int
        The number of stations, n.

    Returns
    -------
    bool array, shape (n,)
    """
    found = np.zeros(size, bool)
    for piece in model.pieces:
        for stations in piece.impossible(forcing, parameters).values():
            found |= stations
    return found


class _Settings(NamedTuple):
    piece: Piece
    forcing: tuple[str, ...]
    parameters: tuple[str, ...]
    core: tuple[int, ...]


def refuse_impossible(
    model: Model,
    forcing: Sequence[xr.DataArray],
    core_dims: Sequence[Sequence[str]],
    values: Mapping[str, xr.DataArray],
) -> None:
    """Refuse parameters that are impossible at every station; lazy data are not looked at.

    Parameters
    ----------
    model : Model
        Resolved.
    forcing : sequence of DataArray
        One for each name of ``model.forcing``.
    core_dims : sequence of sequences of str
        Core dimensions of each.
    values : mapping of str to DataArray
        Parameters that are known; those that vary in time are not looked at.

    Raises
    ------
    ParameterError
        In the words of the piece.
    """
    for piece in model.pieces:
        if type(piece).impossible is Piece.impossible:
            continue  # most never object, and their forcing need not be copied
        read = [i for i, name in enumerate(model.forcing) if name in piece.forcing]
        known = {
            p.name: values[p.name]
            for p in piece.parameters
            if p.name in values and "time" not in values[p.name].dims
        }
        inputs = [*(forcing[i] for i in read), *known.values()]
        if any(array.chunks is not None for array in inputs):
            continue
        dims = [*(tuple(core_dims[i]) for i in read), *[()] * len(known)]
        names = tuple(model.forcing[i] for i in read)
        apply_blocks(
            _refuse,
            inputs,
            core_dims=dims,
            output_dims=[()],
            output_dtypes=[bool],
            output_sizes={},
            settings=_Settings(piece, names, tuple(known), tuple(map(len, dims))),
        )


def _refuse(*arrays: Any, settings: _Settings, size: int) -> Array:
    """Ask a piece about all stations there are."""
    batch, shape = to_batch(arrays, settings.core, size)
    forcing = {}
    for name, series in zip(settings.forcing, batch, strict=False):
        # what cannot be by itself is flagged as such, whatever the parameters are
        forcing[name] = np.where(implausible(series, plausible(name)), np.nan, series)
    numbers = dict(zip(settings.parameters, batch[len(forcing) :], strict=True))
    count = math.prod(shape)
    for reason, stations in settings.piece.impossible(forcing, numbers).items():
        if stations[:count].all():
            raise ParameterError(reason)
    return np.zeros(shape, bool)
