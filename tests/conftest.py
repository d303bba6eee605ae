"""One real PostgreSQL, one real Redis-compatible server, one server of ours; a tenant a test.

VWED_TEST_DATABASE_URL and VWED_TEST_REDIS_URL name other servers; the database URL's user must be
allowed to create databases. VWED_TEST_REDIS_SERVER is another program for those that tests harm.
"""

import gc
import logging
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from hypothesis import HealthCheck

import tests.support.compiled  # noqa: F401 - before what takes long to compile
from tests.support.databases import migrated_database
from vwed.client import Client, connect
from vwed_grpc import embedded
from vwed_grpc.loop.garbage import THRESHOLD
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

# That the machine is busy is no fault of what is tested. All else is as the environment wants it.
hypothesis.settings.register_profile(
    "patient",
    hypothesis.settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")


def pytest_configure() -> None:
    """What `serve` logs, as it does: a traceback with local variables takes a second.

    A line for each call is nothing that `serve` writes by default, and takes as long as the call.
    """
    # A shell that starts the tests in the background has them ignore it, and what they start too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    *before, _ = structlog.get_config()["processors"]
    shown = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[*before, shown],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def pytest_collection() -> None:
    """Collections of garbage leave out what stays: thousands of tests, and all modules."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
    gc.set_threshold(THRESHOLD)


@pytest.fixture(scope="session")
async def data_dir(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """Where this test run's embedded servers live."""
    path = tmp_path_factory.mktemp("vwed")
    async with embedded.lock_data_dir(path):
        yield path


@pytest.fixture(scope="session")
async def postgres_url(data_dir: Path) -> AsyncIterator[str]:
    """A server that tests may create databases on."""
    if url := os.environ.get("VWED_TEST_DATABASE_URL"):
        yield url
        return
    async with embedded.postgres(data_dir) as url:
        yield url


@pytest.fixture(scope="session")
async def redis_url(data_dir: Path) -> AsyncIterator[str]:
    if url := os.environ.get("VWED_TEST_REDIS_URL"):
        yield url
        return
    async with embedded.valkey(data_dir) as url:
        yield url


@pytest.fixture(scope="session")
def database_url(postgres_url: str) -> Iterator[str]:
    """A migrated database of this test run's own."""
    with migrated_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(listen="127.0.0.1:0", database_url=database_url, redis_url=redis_url)


@pytest.fixture(scope="session")
async def target(settings: Settings) -> AsyncIterator[str]:
    """The address of a server in this process."""
    async with serving(settings) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def tenant() -> str:
    """Nothing crosses tenants, so a tenant is all the isolation that a test needs."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def client(target: str, tenant: str) -> AsyncIterator[Client]:
    async with connect(target, tenant=tenant, actor="tester", bare=True) as client:
        yield client


@pytest.fixture
def each_call_is_logged() -> Iterator[None]:
    """As `serve` does at the level of debug; servers that started before go on without."""
    configured = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    yield
    structlog.configure(**configured)
