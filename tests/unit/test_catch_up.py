"""Readings of watches that lag are shared, and given up when nobody wants them."""

import asyncio

from vwed_grpc.loop.pacing import Pace
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
