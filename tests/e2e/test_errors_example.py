"""The program of docs/errors.md, as it is pasted."""

from typing import Any

from tests.support.pages import texts
from tests.support.steps import running
from vwed.client import connect

PAGE = "docs/errors.md"


async def test_it_tells_a_missing_run_from_other_errors(target: str) -> None:
    (program,) = texts(PAGE, "python")
    names: dict[str, Any] = {}
    exec(program.replace("127.0.0.1:50051", target), names)
    async with connect(target) as client:
        run = await running(client)
    assert await names["exists"](run.id)
    assert not await names["exists"]("no-such-run")
