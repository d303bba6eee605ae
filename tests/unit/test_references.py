from collections.abc import Sequence
from typing import Any

import pytest

from vwed_grpc.demo.references import resolve


async def look_up(root: str, path: Sequence[str]) -> Any:
    value: Any = {"input": {"slot": "A-01", "lines": [1, 2], "deep": {"er": True}}}[root]
    for name in path:
        value = value[name]
    return value


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ("{{input.slot}}", "A-01"),
        ("{{ input.lines }}", [1, 2]),
        ("{{input.deep.er}}", True),
        ("to {{input.slot}}, then {{input.deep.er}}", "to A-01, then True"),
        ({"a": ["{{input.slot}}", 3]}, {"a": ["A-01", 3]}),
        ("${params.slot} {input.slot} {{}}", "${params.slot} {input.slot} {{}}"),
        (None, None),
    ],
)
async def test_references_are_replaced(value: Any, resolved: Any) -> None:
    assert await resolve(value, look_up) == resolved
