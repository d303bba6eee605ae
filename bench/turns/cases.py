"""One call of an RPC with the largest request, or for the largest answer, that is allowed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from vwed.client import Client

UUID = "00000000-0000-4000-8000-{:012}"


@dataclass(frozen=True)
class Case:
    method: str
    what: str
    make: Callable[..., Any]
    """The request of the nth try: a message, or a list of them where they are a stream."""
    before: Callable[[int], Awaitable[Any]] | None = None
    """What must be there for the nth try."""
    messages: int = 0
    """Of a stream without end: how many are read."""


async def call(client: Client, case: Case, request: Any) -> str:
    """Makes the call; answers how it ended, if not well."""
    stubs = (client.definitions, client.records, client.cache)
    method = next(m for stub in stubs if (m := getattr(stub, case.method, None)) is not None)
    if isinstance(request, list):
        answer = method(_sent(request), timeout=120)
    else:
        answer = method(request, timeout=120)
    if not hasattr(answer, "__aiter__"):
        await answer
        return ""
    read = 0
    async for _ in answer:
        read += 1
        if read == case.messages:
            answer.cancel()
            break
    return ""


async def _sent(requests: list[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request
