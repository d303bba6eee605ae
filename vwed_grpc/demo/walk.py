"""The way through a block tree: which block comes when, and in which turn of which loops."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vwed.client import Step

Values = dict[str, Any]
"""A block's inputs or its output, as JSON."""
Body = Callable[[Values], Awaitable[Values]]
"""Walks a block's children, given the block's inputs; answers the block's output."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where the loops around a block are."""

    iteration: str = ""
    """"" outside of loops, "3" in the third turn, "3.1" in the first turn of a loop therein."""
    item: Any = None
    """What the innermost loop is at."""


Perform = Callable[[Step, Turn, Body | None], Awaitable[None]]
"""Does a block: by its body, or if it has none by acting. What it raises ends the walk."""
_NO_LOOP = Turn()


async def walk(steps: Sequence[Step], perform: Perform, turn: Turn = _NO_LOOP) -> None:
    """Perform the blocks one after another, each with all that is below it."""
    for step in steps:
        flow = _FLOWS.get(step.type, _sequence if step.children else None)
        await perform(step, turn, partial(flow, step, perform, turn) if flow else None)


async def _sequence(step: Step, perform: Perform, turn: Turn, _inputs: Values) -> Values:
    for branch in step.children.values():
        await walk(branch, perform, turn)
    return {}


async def _parallel(step: Step, perform: Perform, turn: Turn, _inputs: Values) -> Values:
    async with asyncio.TaskGroup() as group:  # the first branch that fails ends the others
        for branch in step.children.values():
            group.create_task(walk(branch, perform, turn))
    return {"branches": [*step.children]}


async def _for_each(step: Step, perform: Perform, turn: Turn, inputs: Values) -> Values:
    items = inputs["items"]
    for number, item in enumerate(items, 1):
        iteration = f"{turn.iteration}.{number}" if turn.iteration else str(number)
        for branch in step.children.values():
            await walk(branch, perform, Turn(iteration, item))
    return {"turns": len(items)}


_FLOWS = {"sequence": _sequence, "parallel": _parallel, "for_each": _for_each}
