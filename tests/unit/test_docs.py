"""What `zensical build --strict` does not look at: the menu, and links to what is no page."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import ROOT, sections

DOCS = ROOT / "docs"
PATH = re.compile(r"`((?:vwed_grpc|tests|client|protos|bench|deploy|docs)/[\w./-]+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PAGES = sorted(DOCS.rglob("*.md"))


def test_the_menu_has_every_page_once() -> None:
    menu = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert sorted(_leaves(menu)) == [str(page.relative_to(DOCS)) for page in PAGES]


def test_each_target_of_make_is_explained() -> None:
    (block,) = sections("docs/contributing.md", "sh")["Set up"]
    targets = re.findall(r"^([a-z-]+) ", made(*block.split()), re.MULTILINE)
    rows = re.findall(r"^\| (`make .*?) \|", (DOCS / "contributing.md").read_text(), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`make ([a-z-]+)`", row)]
    assert sorted([*named, "help"]) == sorted(targets)


def test_make_runs_the_commands_that_tests_run() -> None:
    readme = sections("README.md", "sh")
    pasted = [block.split() for block in (*readme["Start"], *readme["In a browser"])]
    lines = [
        made(*words, "--dry-run", "--no-print-directory", "--old-file=.venv/.ready")
        for words in pasted
    ]
    assert [line.splitlines()[-1].removeprefix("exec ") for line in lines] == [
        ".venv/bin/vwed-grpc serve",
        ".venv/bin/vwed-grpc demo",
        ".venv/bin/vwed-grpc console",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_of_a_page_stay_among_the_pages(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        file = (page.parent / link).resolve()
        assert file.is_file(), link
        assert file.is_relative_to(DOCS), f"{link} is not on the site: name it as code"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_file_that_a_page_names_is_there(page: Path) -> None:
    for name in PATH.findall(page.read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("readme", sorted(ROOT.glob("README*.md")), ids=lambda page: page.name)
def test_links_of_a_readme_lead_somewhere(readme: Path) -> None:
    links = LINK.findall(readme.read_text())
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def made(*words: str) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def _leaves(menu: Any) -> Iterator[str]:
    if isinstance(menu, str):
        yield menu
    else:
        for part in menu.values() if isinstance(menu, dict) else menu:
            yield from _leaves(part)
