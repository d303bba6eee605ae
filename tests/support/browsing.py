"""A page in a real browser, which must not be in trouble while a test looks at it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

WIDE, NARROW = 1280, 390
_SERIOUS = {"serious", "critical"}


@asynccontextmanager
async def browsing(
    browser: Browser, *, width: int = WIDE, language: str = "en", dark: bool = False
) -> AsyncIterator[Page]:
    """Fails if a script had an error or the page's policy kept it from something."""
    context = await browser.new_context(
        viewport={"width": width, "height": 900},
        locale=language,
        color_scheme="dark" if dark else "light",
    )
    context.set_default_timeout(30_000)
    trouble: list[str] = []
    try:
        page = await context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "console",
            lambda said: trouble.append(said.text) if "Content Security" in said.text else None,
        )
        yield page
        assert not trouble
    finally:
        await context.close()


async def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(await page.evaluate("document.documentElement.scrollWidth - innerWidth"))


async def barriers(page: Page) -> list[str]:
    """What keeps people from using the page: serious findings of axe."""
    found = await Axe().run(page)
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found.response["violations"]
        if one["impact"] in _SERIOUS
    ]
