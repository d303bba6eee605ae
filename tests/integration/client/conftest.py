from collections.abc import AsyncIterator

import pytest

from tests.support.proxy import Proxy
from vwed.client import Client, connect


@pytest.fixture
async def link(target: str) -> AsyncIterator[Proxy]:
    """What stands between `behind` and the server."""
    host, _, port = target.rpartition(":")
    async with Proxy(host, int(port)) as proxy:
        yield proxy


@pytest.fixture
async def behind(link: Proxy, tenant: str) -> AsyncIterator[Client]:
    """A client whose connection a test may break; it calls again for as long as tests wait."""
    async with connect(f"127.0.0.1:{link.port}", tenant=tenant, actor="tester") as client:
        yield client
