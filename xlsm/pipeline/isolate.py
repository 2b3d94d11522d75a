"""A block that raises is cut in halves until the station is alone that does it."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import numpy as np

from xlsm.errors import LSMError

__all__ = ["Raised", "is_watched", "isolated", "watched"]

Array = np.ndarray[Any, np.dtype[Any]]
Outputs = tuple[Array, ...]

log = logging.getLogger("xlsm")


class Raised(NamedTuple):
    """A station whose computation raised.

    Parameters
    ----------
    shape : tuple of int
        Batch shape of its block.
    place : int
        Its place there, flat.
    message : str
        What was raised.
    """

    shape: tuple[int, ...]
    place: int
    message: str


class Watch(NamedTuple):
    """What whoever computes a block wants: a list of stations that raised, and which to compute."""

    raised: list[Raised]
    share: slice | None


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


class Kernel(Protocol):
    """A function of the arrays of a block, padded to so many stations."""

    def __call__(self, arrays: Sequence[Array], *, size: int) -> Outputs:
        """Compute a block."""


@contextlib.contextmanager
def watched(share: slice | None = None) -> Iterator[list[Raised]]:
    """Collect the stations that raise in blocks that are computed in this thread meanwhile.

    Parameters
    ----------
    share : slice, optional
        Of the stations of a block, flat, those to compute; the others are left blank. A block
        that is too large for a machine is computed in shares.

    Yields
    ------
    list of Raised
    """
    raised: list[Raised] = []
    token = _watch.set(Watch(raised, share))
    try:
        yield raised
    finally:
        _watch.reset(token)


def is_watched() -> bool:
    """Whether somebody collects what raises."""
    return _watch.get() is not None


def isolated(
    function: Kernel,
    arrays: Sequence[Array],
    core_ndims: Sequence[int],
    blank: Callable[[tuple[int, ...]], Outputs],
    *,
    size: int,
) -> Outputs:
    """Compute a block; where that raises, all of it but the stations that are to blame.

    Parameters
    ----------
    function : callable
        Takes the arrays and how many stations to pad them to, gives outputs (batch..., core...).
        The same size is the same compiled program, however many stations there are.
    arrays : sequence of array, shapes (batch..., core...)
        Batch shapes that broadcast.
    core_ndims : sequence of int
        How many of the last axes of each are core axes.
    blank : callable
        Takes a batch shape, gives the outputs of stations that raise.
    size : int
        As above.

    Returns
    -------
    tuple of array

    Raises
    ------
    LSMError
        As `function` does.

    Examples
    --------
    >>> def root(arrays, *, size):
    ...     if (arrays[0] < 0).any():
    ...         raise ValueError("negative")
    ...     return (np.sqrt(arrays[0]),)
    >>> log.disabled = True
    >>> with watched() as raised:
    ...     isolated(root, [np.array([4.0, -1.0, 9.0])], [0], lambda s: (np.full(s, -9.0),), size=3)
    (array([ 2., -9.,  3.]),)
    >>> raised
    [Raised(shape=(3,), place=1, message='ValueError: negative')]
    >>> log.disabled = False
    """
    watch = _watch.get()
    share = None if watch is None else watch.share
    leads = [a.shape[: a.ndim - n] for a, n in zip(arrays, core_ndims, strict=True)]
    shape = np.broadcast_shapes(*leads)
    if share is None:
        try:
            return function(arrays, size=size)
        except LSMError:  # of the whole run, not of a station: it says what to do
            raise
        except Exception:
            log.debug("a block raises; who in it?", exc_info=True)
    flat = [
        np.broadcast_to(array, shape + array.shape[len(lead) :]).reshape(
            (-1, *array.shape[len(lead) :])
        )
        for array, lead in zip(arrays, leads, strict=True)
    ]

    def found(outputs: Outputs) -> Outputs:
        return tuple(values.reshape(shape + values.shape[1:]) for values in outputs)

    def search(first: int, end: int, padded: int) -> Outputs:
        try:
            return function([array[first:end] for array in flat], size=padded)
        except LSMError:
            raise
        except Exception as error:
            if end - first <= 1:
                # whoever watches the log of the worker sees what it was
                log.exception("a station raised %s and is flagged", type(error).__name__)
                if watch is not None:
                    watch.raised.append(Raised(shape, first, f"{type(error).__name__}: {error}"))
                return blank((1,))
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                padded = max(2, -(-(end - first) // 2))  # nobody's fault but the size's
        middle = (first + end) // 2
        halves = search(first, middle, padded), search(middle, end, padded)
        return tuple(np.concatenate(both) for both in zip(*halves, strict=True))

    count = math.prod(shape)
    if share is None:
        return found(search(0, count, size))
    first, end, _ = share.indices(count)
    outputs = tuple(np.array(values) for values in blank((count,)))
    # smaller than the others of this run, but never one: a lone station is another program
    for values, part in zip(outputs, search(first, end, max(2, end - first)), strict=True):
        values[first:end] = part
    return found(outputs)
