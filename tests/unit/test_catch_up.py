"""Readings of watches that lag are shared, and given up when nobody wants them."""

import asyncio

import pytest

from tests.support.waiting import PATIENCE, until_true
from vwed_grpc.domain.errors import ResourceExhausted
from vwed_grpc.loop.pacing import Pace
from vwed_grpc.watching import catch_up as module
from vwed_grpc.watching.catch_up import CatchUp


async def test_what_nobody_waits_for_any_more_is_not_read() -> None:
    catch_up, begun, goes_on = CatchUp(Pace(lambda: False)), asyncio.Event(), asyncio.Event()

    async def read() -> str:
        begun.set()
        await goes_on.wait()
        return "read"

    def ask(key: str) -> asyncio.Task[str]:
        return asyncio.create_task(catch_up.ask("t", key, read, len))

    first, leaving, last = ask("a"), [ask("b"), ask("b")], ask("c")
    await begun.wait()
    for watch in leaving:
        assert catch_up.waiting == 3
        watch.cancel()
        await asyncio.wait([watch])
    goes_on.set()
    assert [await first, await last] == ["read", "read"]
    assert catch_up.reads == 2


async def test_a_tenant_and_a_process_have_their_most_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_OF_TENANT", 3)
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    catch_up, goes_on = CatchUp(Pace(lambda: False)), asyncio.Event()

    async def read() -> str:
        await goes_on.wait()
        return "read"

    async def ask(tenant: str, key: int) -> str:
        return await catch_up.ask(tenant, key, read, len)

    async def refused(tenant: str, key: int) -> str | None:
        with pytest.raises(ResourceExhausted) as refusal:
            async with asyncio.timeout(PATIENCE):
                await ask(tenant, key)
        return refusal.value.metadata["scope"]

    waiting = [asyncio.create_task(ask("crowd", key)) for key in range(3)]
    await until_true(lambda: catch_up.waiting == 3)
    assert await refused("crowd", 3) == "tenant"
    waiting += [asyncio.create_task(ask("crowd", 0))]  # who waits for the same is no more work
    leaves = asyncio.create_task(ask("crowd", 0))
    waiting += [asyncio.create_task(ask("other", key)) for key in range(2)]
    await until_true(lambda: catch_up.waiting == 5)
    assert await refused("other", 2) == "process"
    leaves.cancel()  # and the others of its reading stay
    await asyncio.wait([leaves])
    goes_on.set()
    assert await asyncio.gather(*waiting) == ["read"] * 6
    assert catch_up.reads == 5


class Readings:
    """Reads by name."""

    def __init__(self) -> None:
        self.catch_up = CatchUp(Pace(lambda: False))

    async def ask(self, *names: str, size: int = 4) -> list[str]:
        """Which of them were read for this, in order; the others were still kept."""
        done: list[str] = []
        for name in names:

            async def read(name: str = name) -> str:
                done.append(name)
                return name

            assert await self.catch_up.ask("t", name, read, lambda _: size) == name
        return done


async def test_what_was_read_is_kept_for_those_who_come_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEPT_SECONDS", 3600)
    assert await Readings().ask("a", "b", "a") == ["a", "b"]


async def test_what_was_read_is_forgotten_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.01)
    readings = Readings()
    assert await readings.ask("a", "b") == ["a", "b"]

    async def read_again() -> bool:
        return await readings.ask("a", "b") == ["a", "b"]

    await until_true(read_again)


async def test_what_is_kept_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_SECONDS", 3600)
    monkeypatch.setattr(module, "KEPT_BYTES", 10)
    readings = Readings()
    assert await readings.ask("a", "b", "c", "b", "c") == ["a", "b", "c"]
    assert await readings.ask("a", "c", "b") == ["a", "b"]
    assert await readings.ask("larger than all", size=11) == ["larger than all"]
    assert await readings.ask("a", "b", "a", "b") == ["a", "b"]


async def test_what_has_no_size_is_not_kept() -> None:
    assert await Readings().ask("a", "a", size=0) == ["a", "a"]


async def test_what_was_read_of_another_incarnation_is_kept_for_nobody() -> None:
    readings = Readings()
    await readings.ask("a", "b")
    readings.catch_up.forget()
    assert await readings.ask("a", "b", "a") == ["a", "b"]
