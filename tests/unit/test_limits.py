"""Each limit has its place in the list that operators read: with its reason and its setting."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vwed_grpc
from vwed_grpc.limits import Limits
from vwed_grpc.settings import Settings

PACKAGE = Path(vwed_grpc.__file__).parent
LIST = (PACKAGE.parent / "docs" / "operations.md").read_text()
REFUSALS = {"ResourceExhausted", "Busy", "too_many", "Places", "Waits", "ConnectionQueue"}
"""Who takes the reason of a RESOURCE_EXHAUSTED."""
REASON = re.compile(r"[A-Z]+(_[A-Z]+)+")
IN_VAIN = {
    *("RESPONSE_TOO_LARGE", "TOO_MANY_GROUPS", "TOO_MANY_BLOCKS", "TOO_MANY_PARENTS"),
    *("IMPORT_TOO_LARGE", "STATEMENT_TIMEOUT"),
}
"""Of these the request itself is too much: it had better not be repeated."""


def refusals() -> Iterator[ast.Call]:
    sources = (file.read_text() for file in PACKAGE.rglob("*.py"))
    for source in (each for each in sources if any(f"{name}(" in each for name in REFUSALS)):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and _name(node.func) in REFUSALS:
                yield node


def reasons(refusal: ast.Call) -> Iterator[str]:
    for each in (*refusal.args, *(keyword.value for keyword in refusal.keywords)):
        if isinstance(each, ast.Constant) and REASON.fullmatch(str(each.value)):
            yield str(each.value)


def _name(called: ast.expr) -> str:
    return getattr(called, "attr", getattr(called, "id", ""))


def test_each_reason_of_a_refusal_is_listed() -> None:
    found = {reason for refusal in refusals() for reason in reasons(refusal)}
    assert {"TOO_MANY_LIVE_CALLS", "REQUEST_NOT_WHOLE", "TOO_MANY_GROUPS"} <= found
    assert {reason for reason in found if f"`{reason}`" not in LIST} == set()


def test_whoever_may_ask_again_is_told_when() -> None:
    untold = {
        reason
        for refusal in refusals()
        if _name(refusal.func) in {"ResourceExhausted", "Busy"}
        and not any(keyword.arg == "retry_after" for keyword in refusal.keywords)
        for reason in reasons(refusal)
    }
    assert untold == IN_VAIN


def test_each_limit_is_listed_with_its_setting_and_default() -> None:
    for name, field in Limits.model_fields.items():
        setting = f"`VWED_{name.upper()}`"
        (row,) = (line for line in LIST.splitlines() if line.startswith(f"| {setting} "))
        default = field.default
        shown = f"{default:g} s" if name.endswith("_seconds") else f"{default:,}"
        if name.endswith("_bytes"):
            shown = f"{default >> 20} MiB"
        assert shown in (cell.strip() for cell in row.split("|")), row


def test_each_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Limits.model_fields:
        monkeypatch.setenv(f"VWED_{name.upper()}", "7")
    settings = Settings()
    assert {getattr(settings, name) for name in Limits.model_fields} == {7}
