"""What the plugin has for tests without pytest-asyncio."""

import pytest


@pytest.fixture
def vwed_client() -> None:
    """Says what it needs; pytest itself would only say that there is no such fixture."""
    pytest.fail("vwed_client needs pytest-asyncio: pip install pytest-asyncio", pytrace=False)
