"""The way through a block tree: which block comes when, and in which turn of which loops."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

Block = Mapping[str, Any]
"""A block of a config: `id`, `type`, and perhaps `name`, `inputs`, `children`."""
Values = dict[str, Any]
"""A block's inputs or its output, as JSON."""
Body = Callable[[Values], Awaitable[Values]]
"""Walks a block's children, given the block's inputs; answers the block's output."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A block in one turn of the loops around it."""

    block: Block
    iteration: str = ""
    """"" outside of loops, "3" in the third turn, "3.1" in the first turn of a loop therein."""
    parent: "Visit | None" = None
    item: Any = None
    """What the innermost loop around is at."""


class Performer(Protocol):
    """Who does the blocks that a walk comes by."""

    async def announce(self, visits: Sequence[Visit]) -> None:
        """These blocks are next, in this order."""

    async def perform(self, visit: Visit, body: Body | None) -> None:
        """Do the block: by its body, or if it has none by acting. What it raises ends the walk."""


async def walk(
    blocks: Sequence[Block],
    performer: Performer,
    *,
    iteration: str = "",
    parent: Visit | None = None,
    item: Any = None,
) -> None:
    """Perform the blocks one after another, each with all that is below it."""
    visits = [Visit(block, iteration, parent, item) for block in blocks]
    if visits:
        await performer.announce(visits)
    for visit in visits:
        flow = _FLOWS.get(visit.block["type"])
        if flow is None and visit.block.get("children"):
            flow = _sequence
        await performer.perform(visit, partial(flow, visit, performer) if flow else None)


async def _sequence(visit: Visit, performer: Performer, _inputs: Values) -> Values:
    for blocks in visit.block.get("children", {}).values():
        await walk(blocks, performer, iteration=visit.iteration, parent=visit, item=visit.item)
    return {}


async def _parallel(visit: Visit, performer: Performer, _inputs: Values) -> Values:
    branches = visit.block.get("children", {})
    try:
        async with asyncio.TaskGroup() as group:
            for blocks in branches.values():
                group.create_task(
                    walk(
                        blocks, performer, iteration=visit.iteration, parent=visit, item=visit.item
                    )
                )
    except BaseExceptionGroup as failures:
        # The first failure ended the other branches; it is what the blocks above hear of.
        raise failures.exceptions[0] from None
    return {"branches": list(branches)}


async def _for_each(visit: Visit, performer: Performer, inputs: Values) -> Values:
    items = inputs["items"]
    for turn, item in enumerate(items, 1):
        iteration = f"{visit.iteration}.{turn}" if visit.iteration else str(turn)
        for blocks in visit.block.get("children", {}).values():
            await walk(blocks, performer, iteration=iteration, parent=visit, item=item)
    return {"turns": len(items)}


_FLOWS = {"sequence": _sequence, "parallel": _parallel, "for_each": _for_each}
