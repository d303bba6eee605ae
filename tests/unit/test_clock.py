"""Times that are stored are the database's: where they are made, nobody looks at this machine's."""

import ast
from pathlib import Path

import pytest

CODE = Path(__file__).parents[2] / "vwed_grpc"
ROOMS = ("services", "writes", "watching", "cache", "storage", "domain")
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "GetCurrentTime"}
NOT_STORED = {
    "domain/ids.py": "the first bits of an id, by which ids are about in order",
    "writes/condition.py": "a figure of this process",
}


@pytest.mark.parametrize("room", ROOMS)
def test_no_time_is_made_of_this_machines_clock(room: str) -> None:
    looks = {
        path.relative_to(CODE).as_posix()
        for path in (CODE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _looks_at_a_clock(node.func)
    }
    assert looks == {file for file in NOT_STORED if file.startswith(f"{room}/")}


def _looks_at_a_clock(called: ast.expr) -> bool:
    """`time.time()`, `datetime.now(UTC)` and the like; the loop's time is no time of day."""
    if not isinstance(called, ast.Attribute) or called.attr not in CLOCKS:
        return False
    of = called.value
    name = of.attr if isinstance(of, ast.Attribute) else getattr(of, "id", "")
    return called.attr == "GetCurrentTime" or name in {"time", "datetime", "date"}
