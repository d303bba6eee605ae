"""What watches of one run and of many share: they are opened again where they broke."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

import grpc

from vwed.client.backoff import Backoff
from vwed.client.connection import Client
from vwed.client.errors import call_error, is_transient, token_expired

BOOKMARK_SECONDS = 10
SILENCE_SECONDS = 3 * BOOKMARK_SECONDS
"""An idle stream says a bookmark every interval; when several are missing, the peer is gone."""

Response = TypeVar("Response")


async def resuming(
    client: Client,
    watch: Callable[[], grpc.aio.UnaryStreamCall[Any, Response]],
    *,
    patience: float,
) -> AsyncGenerator[Response]:
    """The messages of `watch()`, called again after each break, when all before it were taken.

    Raises CallError: what the service says, and the last transport error after `patience` seconds
    without a message; TimeoutError if the server was silent then.
    """
    backoff = Backoff(patience)
    while True:
        call = watch()
        stream = aiter(call)
        try:
            while (message := await _next(stream)) is not None:
                backoff.reset()
                yield message
        except grpc.aio.AioRpcError as exc:
            error = call_error(exc)
            if not (is_transient(error) or (client.renews_token and token_expired(error))):
                raise error from None
            await backoff.pause(error, at_least=error.retry_after or 0.0)
        except TimeoutError as exc:
            await backoff.pause(exc)
        else:
            return
        finally:
            call.cancel()


async def _next(stream: AsyncIterator[Response]) -> Response | None:
    # Around the read alone: a reader who takes its time is not a silent server.
    async with asyncio.timeout(SILENCE_SECONDS):
        return await anext(stream, None)
