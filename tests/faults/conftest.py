"""The fault checkers run minutes long and on their own: `make torture`; but for the registers'."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and not item.path.name.startswith("test_registers"):
            item.add_marker(pytest.mark.torture)
