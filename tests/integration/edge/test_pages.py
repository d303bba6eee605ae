"""What a process shows over HTTP, and to whom."""

import asyncio
from contextlib import suppress

import pytest

from tests.support.metrics_page import ask, free_address
from tests.support.waiting import PATIENCE
from vwed_grpc.process import pages
from vwed_grpc.process.pages import Page
from vwed_grpc.process.probes import livez, readyz
from vwed_grpc.process.stores import CannotServeError


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\n\r\n".encode()


async def status(address: str, request: bytes) -> str:
    return (await ask(address, request))[0].split()[1]


async def test_each_path_has_its_page_and_only_a_get_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def page() -> Page:
        return Page("page", content_type="text/plain; version=0.0.4; charset=utf-8")

    address = free_address()
    monkeypatch.setattr(pages, "_PATIENCE", 0.05)
    async with pages.showing(address, {"/metrics": page, "/livez": livez}):
        head, body = await ask(address)
        assert (head.split()[1], body) == ("200", "page")
        assert "version=0.0.4" in head
        assert (await ask(address, get("/livez?verbose")))[1] == "ok\n"
        assert await status(address, get("/else")) == "404"
        assert await status(address, b"POST /metrics HTTP/1.1\r\n\r\n") == "405"
        for rubbish in (b"", b"GET", b"\xff" * 60_000):  # nobody is waited for
            assert await ask(address, rubbish) == ("", "")
        with suppress(ConnectionResetError):
            assert await ask(address, b"\xff" * 200_000) == ("", "")
        assert await status(address, b"GET \r\n\r\n") == "404"
        assert (await ask(address))[1] == "page"


async def test_it_is_ready_when_nothing_keeps_a_service_from_serving() -> None:
    address = free_address()
    problems = {"server": "starting", "vwed.v1.RecordService": "failing: leases"}
    shown = {"/readyz": readyz(problems), "/one-is-enough": readyz(problems, tolerated=1)}
    async with pages.showing(address, shown):
        head, body = await ask(address, get("/readyz"))
        assert head.split()[1] == "503"
        assert body == "server: starting\nvwed.v1.RecordService: failing: leases\n"
        del problems["server"]
        assert await status(address, get("/readyz")) == "503"
        assert await status(address, get("/one-is-enough")) == "200"
        problems.clear()
        assert await status(address, get("/readyz")) == "200"


async def test_its_end_waits_for_nobody_who_has_asked_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = free_address()
    host, port = address.split(":")
    monkeypatch.setattr(pages, "_PATIENCE", 10 * PATIENCE)
    async with asyncio.timeout(PATIENCE):
        async with pages.showing(address, {"/livez": livez}):
            _, silent = await asyncio.open_connection(host, int(port))
            await ask(address, get("/livez"))  # whoever came before is connected by then
    silent.close()


async def test_a_port_that_is_taken_is_said() -> None:
    address = free_address()
    async with pages.showing(address, {}):
        with pytest.raises(CannotServeError, match="cannot show metrics at"):
            async with pages.showing(address, {}):
                pass
