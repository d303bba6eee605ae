import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.proxy import Proxy
from tests.support.waiting import PATIENCE
from vwed.client import Executor

MakeExecutor = Callable[..., Executor]


@pytest.fixture
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """What stands between the executor and the service, and not between the operator and it."""
    host, _, port = target.rpartition(":")
    async with Proxy(host, int(port)) as proxy:
        yield proxy


@pytest.fixture
def executor(target: str, tenant: str) -> Executor:
    """One that reaches the service; it hands its runs back as soon as it is told to stop."""
    return Executor(target, "AMB-01", tenant=tenant, grace=0)


@pytest.fixture
def behind_proxy(proxy: Proxy, tenant: str) -> MakeExecutor:
    """Makes one that reaches the service through the proxy."""

    def make(**options: float) -> Executor:
        given = {"grace": 0, **options}
        return Executor(f"127.0.0.1:{proxy.port}", "AMB-01", tenant=tenant, **given)

    return make


class Robot:
    """An executor's process (`robot.py`)."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def says(self) -> str:
        """The next line; "" at its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode().strip()

    async def says_at_last(self) -> list[str]:
        """All lines that are left, until it ends."""
        return [line async for line in self._lines()]

    async def _lines(self) -> AsyncIterator[str]:
        while line := await self.says():
            yield line

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@pytest.fixture
async def robot(target: str, tenant: str) -> AsyncIterator[Callable[..., Awaitable[Robot]]]:
    """Starts one; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(
            *, lease: float = 30, grace: float = 0, character: str = "willing"
        ) -> Robot:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.integration.executor.robot"),
                *(target, tenant, "AMB-01", str(lease), str(grace), character),
                cwd=Path(__file__).parents[3],
                stdout=PIPE,
            )
            stack.push_async_callback(_end, process)
            return Robot(process)

        yield start


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
