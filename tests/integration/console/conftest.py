import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.support.console import Console


@pytest.fixture(scope="session")
async def console(target: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """As it is started unless told otherwise: nothing may be done."""
    console = Console(target, tmp_path_factory.mktemp("console") / "log")
    await console.start()
    yield console
    await console.close()


@pytest.fixture(scope="session")
async def acting_console(
    target: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Console]:
    console = Console(target, tmp_path_factory.mktemp("console") / "log", "--allow-actions")
    await console.start()
    yield console
    await console.close()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The machine's own Chromium; what is downloaded for tests elsewhere is 300 MB."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium on this machine")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        await browser.close()
