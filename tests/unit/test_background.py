"""Work that goes on beside the calls."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from tests.support.waiting import PATIENCE
from vwed_grpc.process import background


async def test_work_that_failed_is_begun_again_until_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "_RESTART_SECONDS", 0)
    begun = list[str]()
    goes_on = asyncio.Event()

    async def work() -> None:
        begun.append("begun")
        if len(begun) < 3:
            raise ConnectionError
        try:
            goes_on.set()
            await asyncio.Event().wait()
        finally:
            begun.append("ended")

    with capture_logs() as logs:
        async with AsyncExitStack() as stack:
            background.keep_going(stack, work)
            await asyncio.wait_for(goes_on.wait(), PATIENCE)
    assert begun == ["begun", "begun", "begun", "ended"]
    assert [line["event"] for line in logs] == ["background work failed"] * 2
