"""The page of conformance names tests that exist, so a test cannot be renamed away from it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/conformance.md").read_text()
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| (?!---|the contract \|)", line)]
NAME = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:60])
def test_a_sentence_has_tests_that_exist(row: str) -> None:
    tests = row.rstrip(" |").rsplit(" | ", 1)[1]
    names = NAME.findall(tests)
    assert names, "a sentence without a test"
    for file, function in names:
        assert _path(file).exists(), file
        assert not function or function in _functions(file), f"{file}::{function}"


@cache
def _functions(file: str) -> set[str]:
    tree = ast.parse(_path(file).read_text())
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


def _path(file: str) -> Path:
    """A case of the bench says so, all else is a test."""
    return ROOT / ("" if file.startswith("bench/") else "tests") / file
