"""`python -m bench.turns [WORDS…]`: how long each RPC holds the event loop, at its largest.

The figures are the least of some tries, in milliseconds of CPU: of one turn of the loop, and of one
stretch in which no other thread got the interpreter. WORDS choose the cases whose names have one.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path

import grpc

from bench.stand import free_port
from bench.turns.cases import Case, call
from bench.turns.definitions import definitions, schemas, templates
from bench.turns.reports import blocks, entries
from bench.turns.runs import endings, runs, verbs
from bench.turns.seed import Seed
from vwed.client import connect
from vwed_grpc import embedded
from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine

_TRIES = 3
_SHOWN = 10.0
"""Milliseconds from which on it is said where the loop was."""


class _Server:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def longest(self) -> dict[str, object]:
        """Since this was asked last."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(b"\n")
        found: dict[str, object] = json.loads(await stdout.readline())
        return found


async def main(words: list[str]) -> None:
    async with AsyncExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vwed-turns-")))
        await stack.enter_async_context(embedded.lock_data_dir(room))
        url = await stack.enter_async_context(embedded.postgres(room))
        redis_url = await stack.enter_async_context(embedded.valkey(room))
        engine = sync_engine(url)
        schema.migrate(engine)
        listen = f"127.0.0.1:{free_port()}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.turns.server"),
            env=os.environ
            | {
                "VWED_LISTEN": listen,
                "VWED_DATABASE_URL": url,
                "VWED_REDIS_URL": redis_url,
                "VWED_STATEMENT_TIMEOUT": "60",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=1 << 24,
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        while await process.stdout.readline() != b"ready\n":
            pass
        server = _Server(process)
        client = await stack.enter_async_context(
            connect(listen, tenant="turns", actor="bench", bare=True)
        )
        seed = Seed(client, engine)
        await seed.basics()
        print("| call | turn ms | held ms | ended | where |")
        print("| --- | ---: | ---: | --- | --- |")
        found = (
            *(definitions(), templates(), schemas()),
            *(runs(), verbs(seed), endings(seed), blocks(seed), entries(seed)),
        )
        for case in chain.from_iterable(found):
            name = f"{case.method} {case.what}".strip()
            if not words or any(word in name for word in words):
                print(await _row(server, seed, case, name), flush=True)
        engine.dispose()
        process.terminate()
        await process.wait()


async def _row(server: _Server, seed: Seed, case: Case, name: str) -> str:
    turns, gaps, where, ended = [], [], "", ""
    for n in range(_TRIES):
        request = case.make(n)
        if case.before is not None:
            await case.before(n)
            await asyncio.sleep(0.3)
        await server.longest()
        try:
            await call(seed.client, case, request)
        except grpc.aio.AioRpcError as error:
            ended = f"{error.code().name} {(error.details() or '')[:60]}"
        await asyncio.sleep(0.05)
        found = await server.longest()
        turns.append(1e3 * float(str(found["turn"])))
        gaps.append(1e3 * float(str(found["gap"])))
        if turns[-1] == min(turns):
            where = "; ".join(map(str, found["where"])) if turns[-1] >= _SHOWN else ""  # type: ignore[call-overload]  # a list, by the server's JSON
    return f"| {name} | {min(turns):.1f} | {min(gaps):.1f} | {ended} | {where} |"


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
