"""Calls that arrive at the same time go on together, and nobody waits for long."""

import asyncio
import time

import pytest

from tests.support.waiting import PATIENCE
from vwed_grpc.rpc import gate as gates
from vwed_grpc.rpc.gate import MOST_CALLS, QUIET_ROUNDS, Gate


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """One that time does not open: a busy machine's rounds may be long."""
    monkeypatch.setattr(gates, "MOST_SECONDS", PATIENCE)
    return Gate()


async def late(gate: Gate, rounds: int, through: list[int]) -> None:
    """Arrives after so many rounds of the loop; notes which call it was when it goes on."""
    for _ in range(rounds):
        await asyncio.sleep(0)
    await gate.enter()
    through.append(rounds)


async def test_who_comes_a_few_rounds_later_comes_along(gate: Gate) -> None:
    through: list[int] = []
    calls = [asyncio.create_task(late(gate, rounds, through)) for rounds in (0, 5, 25, 50)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert through == []
    await asyncio.gather(*calls)
    assert through == [0, 5, 25, 50]


async def test_rounds_without_a_call_open_it(gate: Gate) -> None:
    entering = gate.enter()
    for _ in range(QUIET_ROUNDS):
        await asyncio.sleep(0)
        assert not entering.done()
    for _ in range(4):
        await asyncio.sleep(0)
    assert entering.done()


async def test_enough_calls_open_it(gate: Gate) -> None:
    calls = [gate.enter() for _ in range(MOST_CALLS)]
    for _ in range(4):
        await asyncio.sleep(0)
    assert all(call.done() for call in calls)


async def test_time_opens_it_however_long_the_rounds_are(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "MOST_SECONDS", 0.002)
    entering = gate.enter()
    await asyncio.sleep(0)
    time.sleep(0.003)  # noqa: ASYNC251 - a busy loop
    for _ in range(4):
        await asyncio.sleep(0)
    assert entering.done()


async def test_who_leaves_keeps_nobody(gate: Gate) -> None:
    leaving, staying = (gate.enter() for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert leaving.cancelled()
    async with asyncio.timeout(PATIENCE):
        await gate.enter()
