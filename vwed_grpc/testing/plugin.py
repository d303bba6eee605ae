"""pytest's plugin `vwed`: a service for the whole test run, started by the first test that asks."""

import uuid
from collections.abc import Iterator

import pytest

from vwed_grpc.testing.service import server


def pytest_configure(config: pytest.Config) -> None:
    has_asyncio = config.pluginmanager.hasplugin("asyncio")
    client = "async_plugin" if has_asyncio else "no_async_plugin"
    config.pluginmanager.import_plugin(f"vwed_grpc.testing.{client}")


@pytest.fixture(scope="session")
def vwed_target() -> Iterator[str]:
    """The address (`host:port`) of a service that all tests share."""
    with server() as target:
        yield target


@pytest.fixture
def vwed_tenant() -> str:
    """A tenant of this test alone: nothing crosses tenants, so it finds the service empty."""
    return f"test-{uuid.uuid4().hex}"
