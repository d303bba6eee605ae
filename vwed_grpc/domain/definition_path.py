r"""Paths of differences between definitions: `config.blocks[drive-1].inputs.target`.

A block is addressed by its id, wherever it stands. `\` stands before `.`, `[`, `]` and `\` of a
member's name, and before `]` and `\` of a block's id; so no two places have the same path. What
follows `labels.` is the label's key as it is.
"""

import re

BLOCKS = "config.blocks"

_NAME = re.compile(r"([.\[\]\\])")
_ID = re.compile(r"([\]\\])")


def block_path(block_id: str) -> str:
    return f"{BLOCKS}[{_ID.sub(_BEFORE, block_id)}]"


def member_path(path: str, name: str) -> str:
    return f"{path}.{_NAME.sub(_BEFORE, name)}"


_BEFORE = r"\\\1"
