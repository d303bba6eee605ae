"""The program of docs/errors.md, as it is pasted."""

import re
from pathlib import Path
from typing import Any

from tests.support.steps import running
from vwed.client import connect

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


async def test_it_tells_a_missing_run_from_other_errors(target: str) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(program.replace("127.0.0.1:50051", target), names)
    async with connect(target) as client:
        run = await running(client)
    assert await names["exists"](run.id)
    assert not await names["exists"]("no-such-run")
