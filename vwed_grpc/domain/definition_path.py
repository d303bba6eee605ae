r"""Paths of differences between definitions: `config.blocks[drive-1].inputs.target`.

A block is addressed by its id, wherever it stands. `\` stands before `.`, `[`, `]` and `\` of a
member's name, and before `]` and `\` of a block's id; so no two places have the same path. What
follows `labels.` is the label's key as it is.
"""

import re

BLOCKS = "config.blocks"

_NAME = re.compile(r"([.\[\]\\])")
_ID = re.compile(r"([\]\\])")
_BLOCK = re.compile(r"config\.blocks\[((?:[^\]\\]|\\.)*)\]", re.DOTALL)
_STEP = re.compile(r"\.((?:[^.\\]|\\.)*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def block_path(block_id: str) -> str:
    return f"{BLOCKS}[{_ID.sub(_BEFORE, block_id)}]"


def member_path(path: str, name: str) -> str:
    return f"{path}.{_NAME.sub(_BEFORE, name)}"


def parse(path: str) -> tuple[str | None, list[str]]:
    """The id of the block that a path below `config` is in, if it is in one, and the steps there.

    `config.speed` is (None, ["speed"]), `config.blocks[a].inputs` is ("a", ["inputs"]).
    """
    block = _BLOCK.match(path)
    steps = [_plain(step) for step in _STEP.findall(path, block.end() if block else len("config"))]
    return _plain(block[1]) if block else None, steps


_BEFORE = r"\\\1"


def _plain(escaped: str) -> str:
    return _ESCAPED.sub(r"\1", escaped)
