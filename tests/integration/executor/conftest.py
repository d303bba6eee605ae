from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.support.executors import MakeExecutor, Robot, StartRobot
from tests.support.proxy import Proxy
from vwed.client import Executor


@pytest.fixture
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """What stands between the executor and the service, and not between the operator and it."""
    host, _, port = target.rpartition(":")
    async with Proxy(host, int(port)) as proxy:
        yield proxy


@pytest.fixture
def executor(target: str, tenant: str) -> Executor:
    """One that reaches the service; it hands its runs back as soon as it is told to stop.

    What comes to it within a test comes by itself: its heartbeats take longer than any test waits.
    """
    return Executor(target, "AMB-01", tenant=tenant, lease=600, grace=0)


@pytest.fixture
def behind_proxy(proxy: Proxy, tenant: str) -> MakeExecutor:
    """Makes one like it that reaches the service through the proxy."""

    def make(lease: float = 600, concurrency: int = 1) -> Executor:
        target = f"127.0.0.1:{proxy.port}"
        return Executor(
            target, "AMB-01", tenant=tenant, lease=lease, concurrency=concurrency, grace=0
        )

    return make


@pytest.fixture
async def robot(target: str, tenant: str) -> AsyncIterator[StartRobot]:
    """Starts one in a process of its own, which ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(lease: float = 30, character: str = "willing") -> Robot:
            process = Robot(target, tenant, lease=lease, character=character)
            return await stack.enter_async_context(process)

        yield start
