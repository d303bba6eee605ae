from collections.abc import AsyncIterator

import pytest

from tests.support.console import Console


@pytest.fixture(scope="session")
async def console(target: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """As it is started unless told otherwise: nothing may be done."""
    console = Console(target, tmp_path_factory.mktemp("console") / "log")
    await console.start()
    yield console
    console.close()


@pytest.fixture(scope="session")
async def acting_console(
    target: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Console]:
    console = Console(target, tmp_path_factory.mktemp("console") / "log", "--allow-actions")
    await console.start()
    yield console
    console.close()
