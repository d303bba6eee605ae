"""docs/errors.md has every reason that a caller can be told, with its code, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from vwed_grpc.domain import errors
from vwed_grpc.rpc.errors import InternalError
from vwed_grpc.rpc.validation import MalformedMessage

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^## ([A-Z_]+)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| (`[^|]+`) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
REASON = re.compile(r"[A-Z]+(_[A-Z]+)*")
CODES = {
    name: kind.code
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.VwedError) and hasattr(kind, "code")
}
TAKE_REASONS = {*CODES, "__init__", "too_many", "Places", "Waits", "_refused"}
PARTS = {
    "self.noun.upper()": ["TASK_DEF", "TASK_TEMPLATE"],
    "self.definitions.noun.upper()": ["TASK_DEF", "TASK_TEMPLATE"],
    "taken.upper()": ["ID", "NAME"],
    "purpose.upper()": ["URGENT", "LIVE", "BULK", "FIGURES"],
}
"""What reasons are put together from."""
NO_REASONS = {*CODES.values(), "EXECUTOR_LOST"}
ROOMS = ("rpc", "services", "writes", "watching", "cache", "storage", "domain")

Told = tuple[str, str | None]
"""A reason, and its code where it can be read beside it."""


def test_the_page_has_every_reason_with_its_code() -> None:
    page = dict(_rows((ROOT / "docs" / "errors.md").read_text()))
    told: set[Told] = {
        ("INTERNAL", InternalError.code),
        ("MALFORMED_MESSAGE", MalformedMessage.code),
    }
    for path in (ROOT / "vwed_grpc").rglob("*.py"):
        told.update(_reasons(ast.parse(path.read_text())))
    assert {*page} == {reason for reason, _ in told}
    assert {(reason, code) for reason, code in told if code not in {None, page[reason]}} == set()


def test_no_reason_escapes_this_test() -> None:
    for room in ROOMS:
        for path in (ROOT / "vwed_grpc" / room).rglob("*.py"):
            tree = ast.parse(path.read_text())
            found = {text for text, _ in _reasons(tree)}
            likely = {text for node in ast.walk(tree) for text, _ in _texts(node) if "_" in text}
            assert likely <= found | NO_REASONS, path


def _rows(page: str) -> Iterator[tuple[str, str]]:
    for code, text in SECTION.findall(page):
        for cell in ROW.findall(text):
            for reason in re.findall(r"`([A-Z_]+)`", cell):
                yield reason, code


def _reasons(tree: ast.Module) -> Iterator[Told]:
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and "reason" in ast.unparse(node.target):
            for part in ast.walk(node.iter):
                yield from _texts(part)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("reason"):
            yield from _texts(node.value)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            for given in node.args if name in TAKE_REASONS else ():
                yield from _texts(given, CODES.get(name))


def _texts(node: ast.AST, code: str | None = None) -> Iterator[Told]:
    """A text as a reason is one; of a text that is put together, all that it can become."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if REASON.fullmatch(node.value):
            yield node.value, code
    elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.FormattedValue):
        rest = "".join(
            str(part.value) for part in node.values[1:] if isinstance(part, ast.Constant)
        )
        if REASON.fullmatch(rest.removeprefix("_")):
            for part in PARTS[ast.unparse(node.values[0].value)]:
                yield part + rest, code
