"""A block that raises is cut in halves until the station is alone that does it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xlsm.errors import LSMError

__all__ = ["isolated"]

Array = np.ndarray[Any, np.dtype[Any]]
Outputs = tuple[Array, ...]

log = logging.getLogger("xlsm")


def isolated(
    function: Callable[[Sequence[Array]], Outputs],
    arrays: Sequence[Array],
    core_ndims: Sequence[int],
    blank: Callable[[tuple[int, ...]], Outputs],
) -> Outputs:
    """Compute a block; where that raises, all of it but the stations that are to blame.

    Parameters
    ----------
    function : callable
        Takes the arrays, gives outputs (batch..., core...). It should compute at the same compiled
        shape, however many stations there are.
    arrays : sequence of array, shapes (batch..., core...)
        Batch shapes that broadcast.
    core_ndims : sequence of int
        How many of the last axes of each are core axes.
    blank : callable
        Takes a batch shape, gives the outputs of stations that raise.

    Returns
    -------
    tuple of array

    Raises
    ------
    LSMError
        As `function` does.

    Examples
    --------
    >>> def root(arrays):
    ...     if (arrays[0] < 0).any():
    ...         raise ValueError("negative")
    ...     return (np.sqrt(arrays[0]),)
    >>> log.disabled = True
    >>> isolated(root, [np.array([4.0, -1.0, 9.0])], [0], lambda shape: (np.full(shape, -9.0),))
    (array([ 2., -9.,  3.]),)
    >>> log.disabled = False
    """
    try:
        return function(arrays)
    except LSMError:  # of the whole run, not of a station: it says what to do
        raise
    except Exception as error:
        leads = [a.shape[: a.ndim - n] for a, n in zip(arrays, core_ndims, strict=True)]
        shape = np.broadcast_shapes(*leads)
        count = math.prod(shape)
        if count <= 1:
            # whoever watches the log of the worker sees what it was
            log.exception("a station raised %s and is flagged", type(error).__name__)
            return blank(shape)
    flat = [
        np.broadcast_to(array, shape + array.shape[len(lead) :]).reshape(
            (count, *array.shape[len(lead) :])
        )
        for array, lead in zip(arrays, leads, strict=True)
    ]
    half = count // 2
    parts = [
        isolated(function, [array[part] for array in flat], core_ndims, blank)
        for part in (slice(half), slice(half, None))
    ]
    joined = (np.concatenate(both) for both in zip(*parts, strict=True))
    return tuple(values.reshape(shape + values.shape[1:]) for values in joined)
