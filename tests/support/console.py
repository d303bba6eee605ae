"""A console as a user starts it, and requests to it as they go over the wire."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.process import BIN, ENVIRONMENT
from tests.support.waiting import PATIENCE, until_true

_ADDRESS = re.compile(r"http://(\S+)")


class Console:
    """`vwed-grpc console` on a free port, which it keeps when it is started again."""

    def __init__(self, target: str, log: Path, *options: str) -> None:
        self._command = [str(BIN / "vwed-grpc"), "console", "--target", target, *options]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.address = "127.0.0.1:0"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    async def start(self) -> None:
        """Returns when it listens."""
        with self._log.open("wb") as log:
            self._process = process = subprocess.Popen(  # noqa: ASYNC220 - it is soon done
                [*self._command, "--listen", self.address],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

        def address() -> str:
            text = self._log.read_text()
            assert process.poll() is None, text
            found = _ADDRESS.search(text)
            return found[1] if found else ""

        self.address = await until_true(address, what="the console")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def close(self) -> None:
        """Fails if it did not end well, or was in trouble."""
        assert self._process is not None
        self._process.terminate()
        code = await asyncio.to_thread(self._process.wait, PATIENCE)
        assert code == 0, self._log.read_text()
        log = self._log.read_text()
        assert "Traceback" not in log, log


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def request(
    console: Console, path: str, *, method: str = "GET", body: str = "", **headers: str
) -> Answer:
    async with _asked(console, path, method, body.encode(), headers) as (status, found, reader):
        return Answer(status, found, await reader.read())


@dataclass
class Sent:
    """A server-sent event."""

    kind: str
    id: str
    data: Any


@asynccontextmanager
async def stream(console: Console, path: str, **headers: str) -> AsyncIterator[AsyncIterator[Sent]]:
    """The events of a stream; they end where it ends."""
    async with _asked(console, path, "GET", b"", headers) as (status, _, reader):
        assert status == 200
        yield _events(reader)


async def follow(console: Console, path: str) -> list[int]:
    """The seqs of a run's events to its end, asked on from the last one as a browser does."""
    seqs: list[int] = []
    while True:
        last = {"last_event_id": str(seqs[-1])} if seqs else {}
        async with stream(console, path, **last) as sent:
            async for event in sent:
                if event.kind == "end":
                    return seqs
                if event.kind == "change":
                    seqs.append(int(event.id))
        await asyncio.sleep(0.1)


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[Sent]:
    fields: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE):
        async for raw in reader:
            line = raw.decode().rstrip("\r\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield Sent(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
                fields = {}


@asynccontextmanager
async def _asked(
    console: Console, path: str, method: str, body: bytes, headers: dict[str, str]
) -> AsyncIterator[tuple[int, dict[str, str], asyncio.StreamReader]]:
    host, port = console.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
    try:
        sent = {"host": console.address, "content-length": str(len(body))}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.0", *(f"{n}: {v}" for n, v in sent.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        async with asyncio.timeout(PATIENCE):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found = {n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:] if line)}
        yield int(head[0].split()[1]), found, reader
    finally:
        writer.close()
