import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from vwed_grpc.demo.walk import Block, Body, Visit, walk


class Recorder:
    """Notes what the walk comes by; blocks named in `failing` raise."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.announced: list[list[str]] = []
        self.begun: list[str] = []
        self.done: list[str] = []

    async def announce(self, visits: Sequence[Visit]) -> None:
        self.announced.append([title(visit) for visit in visits])

    async def perform(self, visit: Visit, body: Body | None) -> None:
        self.begun.append(title(visit))
        await asyncio.sleep(0)
        if visit.block["id"] in self.failing:
            raise RuntimeError(title(visit))
        inputs = visit.block.get("inputs", {})
        items = visit.item if inputs.get("items") == "item" else inputs.get("items")
        if body:
            await body({"items": items})
        self.done.append(title(visit))


def title(visit: Visit) -> str:
    return f"{visit.block['id']}@{visit.iteration}"


def leaf(block_id: str) -> Block:
    return {"id": block_id, "type": "drive"}


def flow(block_id: str, block_type: str, items: Any = None, **branches: list[Block]) -> Block:
    return {"id": block_id, "type": block_type, "inputs": {"items": items}, "children": branches}


async def test_sequence_goes_down_before_it_goes_on() -> None:
    recorder = Recorder()
    await walk(
        [leaf("a"), flow("b", "sequence", default=[leaf("c"), leaf("d")]), leaf("e")], recorder
    )
    assert recorder.begun == ["a@", "b@", "c@", "d@", "e@"]
    assert recorder.done == ["a@", "c@", "d@", "b@", "e@"]
    assert recorder.announced == [["a@", "b@", "e@"], ["c@", "d@"]]


async def test_nested_loops_count_their_turns() -> None:
    recorder = Recorder()
    inner = flow("inner", "for_each", "item", default=[leaf("x")])
    await walk([flow("outer", "for_each", [["p", "q"], ["r"]], default=[inner])], recorder)
    assert recorder.done == [
        "x@1.1", "x@1.2", "inner@1", "x@2.1", "inner@2", "outer@",
    ]  # fmt: skip


async def test_loop_without_items_has_no_turns() -> None:
    recorder = Recorder()
    await walk([flow("loop", "for_each", [], default=[leaf("x")])], recorder)
    assert recorder.begun == ["loop@"]


async def test_parallel_branches_run_at_once() -> None:
    recorder = Recorder()
    fork = flow("fork", "parallel", left=[leaf("a"), leaf("b")], right=[leaf("c"), leaf("d")])
    await walk([fork, leaf("z")], recorder)
    assert recorder.begun == ["fork@", "a@", "c@", "b@", "d@", "z@"]


async def test_unknown_type_with_children_is_a_sequence() -> None:
    recorder = Recorder()
    await walk([flow("if", "if_battery_low", then=[leaf("charge")])], recorder)
    assert recorder.done == ["charge@", "if@"]


async def test_failure_ends_the_walk_and_other_branches() -> None:
    recorder = Recorder("b")
    slow = [leaf(f"s{number}") for number in range(9)]
    fork = flow("fork", "parallel", left=[leaf("a"), leaf("b")], right=slow)
    with pytest.raises(RuntimeError, match="b@"):
        await walk([fork, leaf("z")], recorder)
    assert "z@" not in recorder.begun
    assert "s8@" not in recorder.begun
    assert "fork@" not in recorder.done
