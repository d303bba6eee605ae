"""What must say the same: the version, the license, and the versions that all is tested with."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # has no types

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]["version"]
JOBS: Any = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]


def project(folder: str) -> Any:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("pyproject.toml", r'"vwed-client==(.+)",$'),
        ("deploy/kubernetes/kustomization.yaml", r"newTag: (.+)}$"),
        ("CHANGELOG.md", r"^## (\d\S+) - \d{4}-\d\d-\d\d$"),
    ],
)
def test_what_names_the_version_names_that_of_the_client(path: str, pattern: str) -> None:
    newest, *_ = re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE)
    assert newest == VERSION


def test_both_distributions_have_the_license() -> None:
    assert (ROOT / "LICENSE").read_bytes() == (ROOT / "client/LICENSE").read_bytes()


def test_all_that_the_pages_promise_is_tested() -> None:
    promise = r"Python 3\.(\d+) to 3\.(\d+),\s+PostgreSQL (\d+) to (\d+), (Redis 7) and (Valkey)\."
    said = re.search(promise, (ROOT / "docs/contributing.md").read_text())
    assert said
    *numbers, redis, valkey = said.groups()
    python, last_python, postgres, last_postgres = map(int, numbers)
    pythons = [f"3.{minor}" for minor in range(python, last_python + 1)]
    assert JOBS["test"]["strategy"]["matrix"] == {"python": pythons}
    assert JOBS["servers"]["strategy"]["matrix"] == {
        "postgres": [*range(postgres, last_postgres + 1)],
        "redis": [redis, valkey],
    }
    for each in (project("."), project("client")):
        assert each["requires-python"] == f">={pythons[0]}"
        named = [line for line in each["classifiers"] if "Python ::" in line]
        assert named == [f"Programming Language :: Python :: {version}" for version in pythons]
    for page in ("README.md", "docs/operations.md"):
        assert f"PostgreSQL {postgres} or newer" in (ROOT / page).read_text()
