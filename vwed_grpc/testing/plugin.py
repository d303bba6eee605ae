"""pytest's plugin `vwed`: a service for the whole test run, started by the first test that asks."""

import uuid
from collections.abc import Iterator

import pytest

from vwed_grpc.testing.service import server


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("asyncio"):
        config.pluginmanager.import_plugin("vwed_grpc.testing.async_plugin")


@pytest.fixture(scope="session")
def vwed_target() -> Iterator[str]:
    """The address (`host:port`) of a service that all tests share."""
    with server() as target:
        yield target


@pytest.fixture
def vwed_tenant() -> str:
    """A tenant of this test alone: nothing crosses tenants, so it finds the service empty."""
    return f"test-{uuid.uuid4().hex}"
