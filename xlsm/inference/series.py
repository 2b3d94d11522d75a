"""A free parameter that varies in time: which of its values holds when."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

__all__ = ["Series"]

Array = np.ndarray[Any, np.dtype[np.float64]]
Index = np.ndarray[Any, np.dtype[np.intp]]


@dataclasses.dataclass(frozen=True)
class Series:
    """A free parameter that varies in time: several of the free values, one after the other.

    Parameters
    ----------
    name : str
        Of the parameter.
    first : int
        Index of the first of its values among the free ones.
    knots : tuple of float
        For each value the time from which it holds, as a number of time steps from the first
        time; at a knot itself the one before holds.
    linear : bool
        Whether values are the corners of a line instead.
    memory : float
        Time steps after which a value is forgotten: its traces no longer count for the curvature
        of the cost.
    smooth : bool
        Whether values are known to differ little from one to the next; see `Data.walk`.
    estimated : bool
        Whether by how much is estimated with them.
    """

    name: str
    first: int
    knots: tuple[float, ...]
    linear: bool
    memory: float
    smooth: bool = False
    estimated: bool = False

    @property
    def values(self) -> slice:
        """Where they are among the free values."""
        return slice(self.first, self.first + len(self.knots))

    def place(self, times: int) -> tuple[Index, Index, Array]:
        """Find the two values that each time takes its own from, and the share of the second.

        Parameters
        ----------
        times : int
            How many times there are.

        Returns
        -------
        before, after : int array, shape (times,)
            Which of the values of the series.
        share : array, shape (times,)

        Examples
        --------
        >>> corners = Series("albedo", 0, (0.0, 2.0, 4.0), linear=True, memory=9)
        >>> before, after, share = corners.place(4)
        >>> before, after, share
        (array([0, 0, 1, 1]), array([1, 1, 2, 2]), array([0. , 0.5, 0. , 0.5]))
        """
        at, marks, last = np.arange(times, dtype=float), np.asarray(self.knots), len(self.knots) - 1
        if not self.linear or last == 0:
            before = np.clip(np.searchsorted(marks, at - 1e-6, side="right") - 1, 0, last)
            return before, before, np.zeros(times)
        before = np.clip(np.searchsorted(marks, at + 1e-6, side="right") - 1, 0, last - 1)
        share = (at - marks[before]) / (marks[before + 1] - marks[before])
        return before, before + 1, np.clip(share, 0.0, 1.0)
