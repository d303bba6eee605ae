"""`{{input.slot}}`, `{{item.sku}}`, `{{cache.pallet_id}}` in a block's inputs."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

_REFERENCE = re.compile(r"\{\{\s*(\w+(?:\.\w+)*)\s*\}\}")

Lookup = Callable[[str, Sequence[str]], Awaitable[Any]]
"""Finds what `{{root.a.b}}` stands for, given `root` and `["a", "b"]`."""


async def resolve(value: Any, lookup: Lookup) -> Any:
    """`value` with every reference replaced: a whole string by the value, inside text by text."""
    match value:
        case str():
            return await _resolve_text(value, lookup)
        case dict():
            return {key: await resolve(member, lookup) for key, member in value.items()}
        case list():
            return [await resolve(member, lookup) for member in value]
        case _:
            return value


async def _resolve_text(text: str, lookup: Lookup) -> Any:
    if whole := _REFERENCE.fullmatch(text):
        return await _look_up(whole, lookup)
    parts, end = [], 0
    for match in _REFERENCE.finditer(text):
        parts += [text[end : match.start()], str(await _look_up(match, lookup))]
        end = match.end()
    return "".join([*parts, text[end:]])


async def _look_up(match: re.Match[str], lookup: Lookup) -> Any:
    root, *path = match[1].split(".")
    return await lookup(root, path)
