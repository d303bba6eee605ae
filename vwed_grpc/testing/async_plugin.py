"""What the plugin has for tests with pytest-asyncio."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from vwed.client import Client


@pytest_asyncio.fixture
async def vwed_client(vwed_target: str, vwed_tenant: str) -> AsyncIterator["Client"]:
    """A client of the service, in this test's tenant."""
    from vwed.client import connect  # noqa: PLC0415 - whoever has no such test need not wait for it

    async with connect(vwed_target, tenant=vwed_tenant, actor="test") as client:
        yield client
