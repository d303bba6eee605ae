"""Reads a server's page of metrics, as an operator does."""

import asyncio
import socket

GET = b"GET /metrics HTTP/1.1\r\n\r\n"


def free_address() -> str:
    """Where a server may show its page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def free_addresses(count: int) -> list[str]:
    """Neighbours, for the pages of as many workers."""
    while True:
        first = free_address()
        host, _, port = first.rpartition(":")
        addresses = [f"{host}:{int(port) + n}" for n in range(count)]
        if all(_is_free(address) for address in addresses[1:]):
            return addresses


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


async def ask(address: str, request: bytes = GET) -> tuple[str, str]:
    """Head and body of the answer."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        answer = (await reader.read()).decode()
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return head, body


async def figures(address: str) -> dict[str, float]:
    return figures_of((await ask(address))[1])


def figures_of(page: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}
