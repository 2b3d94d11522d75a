"""Which derivatives are carried through which times, where there are too many to carry all."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from xlsm.inference.problem import Problem
from xlsm.inference.series import Series
from xlsm.model import tangent

__all__ = ["Frame", "frame_of"]

Array = np.ndarray[Any, np.dtype[Any]]


class Frame(NamedTuple):
    """Slots for derivatives, and the free values they are given to, block of times by block.

    A value of a series has a slot from its first time until it is forgotten; then the slot goes
    to a later one.

    Parameters
    ----------
    length : int
        Times in a block.
    owner : tuple of str
        For each slot the parameter whose values it has.
    occupant : int array, shape (blocks, slots)
        Which of the free values has it; as many as there are of these where none has.
    fresh : bool array, shape (blocks, slots)
        Whether it had it not in the block before.
    now, then : array, shape (blocks, length, slots)
        Part of the value in its parameter at a time, and at the time after; one for a constant.
    changing : int
        How many slots, the last ones, are those of constants that change the coefficients of a
        step.
    """

    length: int
    owner: tuple[str, ...]
    occupant: Array
    fresh: Array
    now: Array
    then: Array
    changing: int


def frame_of(problem: Problem, times: int) -> Frame:
    """Lay out the slots.

    Parameters
    ----------
    problem : Problem
        With series.
    times : int
        How many times there are.

    Returns
    -------
    Frame
        With one block and a slot for every free value where these are few.
    """
    owners, count = problem.owners, len(problem.free)
    every = not problem.backward
    length = times if every else math.ceil(math.sqrt(times))
    blocks = -(-times // length)
    at = np.minimum(np.arange(blocks * length).reshape(blocks, length), times - 1)
    after = np.minimum(at + 1, times - 1)

    of_series = {i for one in problem.series for i in range(count)[one.values]}
    constants = [i for i in range(count) if i not in of_series]
    last = [i for i in constants if tangent.changing(problem.model, [owners[i]])[0]]
    slots: list[_Slot] = []

    def constant(index: int) -> None:
        ones = np.ones(at.shape)
        slots.append(_Slot(owners[index], np.full(blocks, index), ones, ones))

    for index in constants:
        if index not in last:
            constant(index)
    for one in problem.series:
        before, behind, share = one.place(times)
        for given in _columns(one, times, length, blocks, math.inf if every else one.memory):
            now, then = (
                (before[when] == given[:, None]) * (1 - share[when])
                + (behind[when] == given[:, None]) * share[when]
                for when in (at, after)
            )
            occupant = np.where(given < 0, count, one.first + given)
            slots.append(_Slot(one.name, occupant, now, then))
    for index in last:
        constant(index)

    occupant = np.stack([slot.occupant for slot in slots], axis=1)
    fresh = np.ones(occupant.shape, bool)
    fresh[1:] = occupant[1:] != occupant[:-1]
    return Frame(
        length=length,
        owner=tuple(slot.owner for slot in slots),
        occupant=occupant,
        fresh=fresh,
        now=np.stack([slot.now for slot in slots], axis=-1),
        then=np.stack([slot.then for slot in slots], axis=-1),
        changing=len(last),
    )


class _Slot(NamedTuple):
    owner: str
    occupant: Array  # (blocks,)
    now: Array  # (blocks, length)
    then: Array


def _columns(one: Series, times: int, length: int, blocks: int, memory: float) -> list[Array]:
    """Give the values of a series slots: which of them has one in each block, -1 for none."""
    before, behind, share = one.place(times)
    columns: list[Array] = []
    free_from: list[int] = []
    for value in range(len(one.knots)):
        seen = np.flatnonzero(((before == value) & (share < 1)) | ((behind == value) & (share > 0)))
        if seen.size == 0:
            continue
        # the step at the end of a block leads to the first time of the next
        begin = max(0, -(-int(seen[0]) // length) - 1)
        end = blocks if math.isinf(memory) else min(blocks, int((seen[-1] + memory) // length) + 1)
        slot = next((i for i, block in enumerate(free_from) if block <= begin), len(columns))
        if slot == len(columns):
            columns.append(np.full(blocks, -1))
            free_from.append(0)
        columns[slot][begin:end] = value
        free_from[slot] = end
    return columns
