"""The fenced blocks of the pages, for the tests that run them as they are pasted."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("client/*.md"), *ROOT.glob("docs/**/*.md")]


class Block(NamedTuple):
    page: str
    """Its path from the repository's root."""
    section: str
    """The heading above it."""
    language: str
    text: str


def blocks(page: Path | str) -> Iterator[Block]:
    """All of a page, in its order."""
    name = str(page.relative_to(ROOT)) if isinstance(page, Path) else page
    section = ""
    language: str | None = None
    lines: list[str] = []
    for line in (ROOT / name).read_text().splitlines(keepends=True):
        if language is not None and line == "```\n":
            yield Block(name, section, language, "".join(lines))
            language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("```"):
            language, lines = line[3:-1], []
        elif line.startswith("#"):
            section = line.lstrip("#").strip()
    assert language is None, f"{name}: a block without an end"


def texts(page: str, *languages: str) -> list[str]:
    """Of the blocks in one of these languages, what they say."""
    return [block.text for block in blocks(page) if block.language in languages]


def sections(page: str, *languages: str) -> dict[str, list[str]]:
    """The same by their headings, for pages that have many."""
    found: dict[str, list[str]] = {}
    for block in blocks(page):
        if block.language in languages:
            found.setdefault(block.section, []).append(block.text)
    return found
