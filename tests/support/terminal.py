"""`vwed-grpc` as a user calls it."""

import asyncio
import json
from typing import Any, NamedTuple

from click.testing import CliRunner

from vwed_grpc.cli.main import main


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def vwed(target: str, tenant: str, *words: str) -> Said:
    """In this process, without a terminal."""
    told = [*words, "--target", target, "--tenant", tenant]
    ended = await asyncio.to_thread(CliRunner().invoke, main, told)
    return Said(ended.exit_code, ended.stdout, ended.stderr)
