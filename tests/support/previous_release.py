"""The newest commit that had another schema, as a tree to run a server from."""

import subprocess
from pathlib import Path

import pytest

from vwed_grpc.storage import schema

_ROOT = Path(__file__).parents[2]
_MIGRATIONS = "vwed_grpc/storage/migrations/versions"


def previous_release(folder: Path) -> Path:
    """Unpacks its files below `folder`; skips the test where there is no history."""
    (newest,) = _ROOT.glob(f"{_MIGRATIONS}/{schema.HEAD}_*.py")
    # What a shallow clone begins with looks as if all had come with it, and has no parent. A merge
    # is taken for what it brought to the line that it was merged into.
    made = _git(
        *("log", "--first-parent", "-m", "--diff-filter=A", "--format=%H", "-1"),
        *("--", f"{newest.relative_to(_ROOT)}"),
    )
    before = made and _git("rev-parse", "--verify", "--quiet", f"{made}^")
    if not before:
        pytest.skip("the history of this clone does not reach back to the previous schema")
    tree = folder / "previous"
    tree.mkdir()
    archive = subprocess.run(["git", "archive", before], cwd=_ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=tree, input=archive.stdout, check=True)
    return tree


def _git(*words: str) -> str:
    """What git says; nothing where it, or what it is asked for, is not there."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=_ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
