"""The way through a block tree: which block comes when, and in which turn of which loops."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vwed.client import Step
from vwed.v1.block_record_pb2 import BlockRecordKey

Values = dict[str, Any]
"""A block's inputs or its output, as JSON."""
Body = Callable[[BlockRecordKey, Values], Awaitable[Values]]
"""Walks a block's children, given the block's key and inputs; answers the block's output."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is around a block."""

    parent: BlockRecordKey | None = None
    iteration: str = ""
    """"" outside of loops, "3" in the third turn, "3.1" in the first turn of a loop therein."""
    item: Any = None
    """What the innermost loop around is at."""


Perform = Callable[[Step, Place, Body | None], Awaitable[None]]
"""Does a block: by its body, or if it has none by acting. What it raises ends the walk."""
_OUTERMOST = Place()


async def walk(steps: Sequence[Step], perform: Perform, place: Place = _OUTERMOST) -> None:
    """Perform the blocks one after another, each with all that is below it."""
    for step in steps:
        flow = _FLOWS.get(step.type, _sequence if step.children else None)
        await perform(step, place, partial(flow, step, perform, place) if flow else None)


async def _sequence(
    step: Step, perform: Perform, place: Place, key: BlockRecordKey, _inputs: Values
) -> Values:
    for branch in step.children.values():
        await walk(branch, perform, replace(place, parent=key))
    return {}


async def _parallel(
    step: Step, perform: Perform, place: Place, key: BlockRecordKey, _inputs: Values
) -> Values:
    try:
        async with asyncio.TaskGroup() as group:
            for branch in step.children.values():
                group.create_task(walk(branch, perform, replace(place, parent=key)))
    except BaseExceptionGroup as failures:
        # The first failure ended the other branches; it is what the blocks above hear of.
        raise failures.exceptions[0] from None
    return {"branches": [*step.children]}


async def _for_each(
    step: Step, perform: Perform, place: Place, key: BlockRecordKey, inputs: Values
) -> Values:
    items = inputs["items"]
    for turn, item in enumerate(items, 1):
        iteration = f"{place.iteration}.{turn}" if place.iteration else str(turn)
        for branch in step.children.values():
            await walk(branch, perform, Place(key, iteration, item))
    return {"turns": len(items)}


_FLOWS = {"sequence": _sequence, "parallel": _parallel, "for_each": _for_each}
