import asyncio
from typing import Any

import pytest

from vwed.client import Step
from vwed_grpc.demo.walk import Body, Turn, walk


class Recorder:
    """Notes what the walk comes by; blocks named in `failing` raise."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.begun: list[str] = []
        self.done: list[str] = []

    async def perform(self, step: Step, turn: Turn, body: Body | None) -> None:
        title = f"{step.id}@{turn.iteration}"
        self.begun.append(title)
        await asyncio.sleep(0)
        if step.id in self.failing:
            raise RuntimeError(title)
        items = step.inputs.get("items")
        if body:
            await body({"items": turn.item if items == "item" else items})
        self.done.append(title)


def leaf(block_id: str) -> Step:
    return Step(block_id, "drive")


def flow(block_id: str, block_type: str, items: Any = None, **branches: list[Step]) -> Step:
    return Step(block_id, block_type, inputs={"items": items}, children=branches)


async def test_sequence_goes_down_before_it_goes_on() -> None:
    recorder = Recorder()
    await walk(
        [leaf("a"), flow("b", "sequence", default=[leaf("c"), leaf("d")]), leaf("e")],
        recorder.perform,
    )
    assert recorder.begun == ["a@", "b@", "c@", "d@", "e@"]
    assert recorder.done == ["a@", "c@", "d@", "b@", "e@"]


async def test_nested_loops_count_their_turns() -> None:
    recorder = Recorder()
    inner = flow("inner", "for_each", "item", default=[leaf("x")])
    await walk([flow("outer", "for_each", [["p", "q"], ["r"]], default=[inner])], recorder.perform)
    assert recorder.done == [
        "x@1.1", "x@1.2", "inner@1", "x@2.1", "inner@2", "outer@",
    ]  # fmt: skip


async def test_loop_without_items_has_no_turns() -> None:
    recorder = Recorder()
    await walk([flow("loop", "for_each", [], default=[leaf("x")])], recorder.perform)
    assert recorder.begun == ["loop@"]


async def test_parallel_branches_run_at_once() -> None:
    recorder = Recorder()
    fork = flow("fork", "parallel", left=[leaf("a"), leaf("b")], right=[leaf("c"), leaf("d")])
    await walk([fork, leaf("z")], recorder.perform)
    assert recorder.begun == ["fork@", "a@", "c@", "b@", "d@", "z@"]


async def test_unknown_type_with_children_is_a_sequence() -> None:
    recorder = Recorder()
    await walk([flow("if", "if_battery_low", then=[leaf("charge")])], recorder.perform)
    assert recorder.done == ["charge@", "if@"]


async def test_failure_ends_the_walk_and_other_branches() -> None:
    recorder = Recorder("b")
    slow = [leaf(f"s{number}") for number in range(9)]
    fork = flow("fork", "parallel", left=[leaf("a"), leaf("b")], right=slow)
    with pytest.raises(ExceptionGroup) as failed:
        await walk([fork, leaf("z")], recorder.perform)
    assert [str(failure) for failure in failed.value.exceptions] == ["b@"]
    assert "z@" not in recorder.begun
    assert "s8@" not in recorder.begun
    assert "fork@" not in recorder.done
