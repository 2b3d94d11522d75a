"""Tasks from a lazy result: a graph of its own for each region, small, and the size of nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import dask.array as da
from dask.highlevelgraph import HighLevelGraph
from dask.optimization import cull

from xlsm.pipeline.blueprint import Blueprint
from xlsm.pipeline.regions import Region
from xlsm.pipeline.task import Task

__all__ = ["tasks_of"]

#: Regions whose graphs are made at once: the whole graph is looked through for each group.
GROUP = 64


def tasks_of(blueprint: Blueprint, wanted: Iterable[Region], writer: bytes) -> Iterator[Task]:
    """Give a task for each region, made when it is asked for.

    Parameters
    ----------
    blueprint : Blueprint
        What is written.
    wanted : iterable of Region
        Which regions.
    writer : bytes
        What they write with.

    Yields
    ------
    Task
        Of NumPy arrays in memory it holds the region's slices, and of files the path.
    """
    variables = blueprint.variables
    arrays = [variable.data for variable in variables.values()]
    dims = tuple(tuple(map(str, variable.dims)) for variable in variables.values())
    graph = HighLevelGraph.merge(*(array.dask for array in arrays))

    def keys(region: Region) -> list[Any]:
        blocks = {dim: first // blueprint.chunks[dim] for dim, first, _ in region}
        return [
            (array.name, *(blocks.get(dim, 0) for dim in own))
            for array, own in zip(arrays, dims, strict=True)
        ]

    remaining = iter(wanted)
    for group in iter(lambda: list(itertools.islice(remaining, GROUP)), []):
        each = [keys(region) for region in group]
        flat = list(itertools.chain.from_iterable(each))
        some = dict(da.Array.__dask_optimize__(graph, flat))
        for region, own in zip(group, each, strict=True):
            yield Task(
                region=region,
                graph=cull(some, own)[0],  # type: ignore[no-untyped-call]
                keys=own,
                names=tuple(variables),
                dims=dims,
                ledger=blueprint.ledger,
                batch=blueprint.dims,
                writer=writer,
            )
