from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Process


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The server of a newcomer, for tests that leave it as it is; empty at first."""
    server = Process(tmp_path_factory.mktemp("shared") / "data")
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    """A test's own: to be started, killed and stopped as it likes."""
    server = Process(tmp_path / "data", VWED_DRAIN_SECONDS="2")
    try:
        server.start()
        yield server
    finally:
        server.close()
