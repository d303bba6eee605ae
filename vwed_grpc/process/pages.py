"""Pages over HTTP, for tools that speak no gRPC: metrics, whether the process lives, is ready.

A page of text needs no library. Several workers have one port, which is their parent's.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus

from vwed_grpc.process.stores import CannotServeError

_PATIENCE = 5.0
"""Seconds for a request to come."""


@dataclass(frozen=True)
class Page:
    text: str
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


MakePage = Callable[[], Awaitable[Page]]


@asynccontextmanager
async def showing(listen: str, pages: Mapping[str, MakePage]) -> AsyncIterator[None]:
    """Answers GET at `listen` (host:port) while entered, by path; pages may be added meanwhile.

    Raises CannotServeError.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(await _asked(request, pages)))
                await writer.drain()
        writer.close()

    host, _, port = listen.rpartition(":")
    try:
        server = await asyncio.start_server(answer, host.strip("[]") or None, int(port))
    except OSError as exc:
        # Of an address that is taken asyncio's text has the address once more.
        why = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror
        raise CannotServeError(f"cannot show metrics at {listen}: {why}") from exc
    try:
        yield
    finally:
        server.close()  # `async with` waits for open connections as well, from Python 3.12 on


async def _asked(request: bytes, pages: Mapping[str, MakePage]) -> Page:
    method, _, rest = request.decode("latin-1").partition(" ")
    if method != "GET":
        return _bare(HTTPStatus.METHOD_NOT_ALLOWED)
    make = pages.get(rest.partition(" ")[0].partition("?")[0])
    return await make() if make else _bare(HTTPStatus.NOT_FOUND)


def _bare(status: HTTPStatus) -> Page:
    return Page(f"{status.phrase}\n", status)


def _response(page: Page) -> bytes:
    body = page.text.encode()
    head = (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\n"
        f"Content-Type: {page.content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
