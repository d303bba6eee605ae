"""What watches of one run and of many share: they are opened again where they broke."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeAlias, TypeVar

import grpc

from vwed.client.backoff import Backoff
from vwed.client.connection import Client
from vwed.client.errors import CallError, call_error, is_transient, token_expired

BOOKMARK_SECONDS = 10
SILENCE_SECONDS = 3 * BOOKMARK_SECONDS
"""An idle stream says a bookmark every interval; when several are missing, the peer is gone."""

Response = TypeVar("Response")
OnOutage: TypeAlias = Callable[[CallError | TimeoutError | None], None]
"""Is told why the server is lost, once an outage, and None once it has spoken again."""


async def resuming(
    client: Client,
    watch: Callable[[], grpc.aio.UnaryStreamCall[Any, Response]],
    *,
    patience: float,
    on_outage: OnOutage | None = None,
) -> AsyncGenerator[Response]:
    """The messages of `watch()`, called again after each break, when all before it were taken.

    Raises CallError: what the service says, and the last transport error after `patience` seconds
    without a message; TimeoutError if the server was silent then.
    """
    backoff = Backoff(patience)
    is_away = False

    def tell(error: CallError | TimeoutError | None) -> None:
        nonlocal is_away
        if on_outage is not None and is_away != (error is not None):
            is_away = not is_away
            on_outage(error)

    while True:
        call = watch()
        stream = aiter(call)
        try:
            while (message := await _next(stream)) is not None:
                backoff.reset()
                tell(None)
                yield message
        except grpc.aio.AioRpcError as exc:
            error = call_error(exc)
            if is_transient(error):
                tell(error)
            elif not (client.renews_token and token_expired(error)):
                raise error from None
            await backoff.pause(error, at_least=error.retry_after or 0.0)
        except TimeoutError as exc:
            tell(exc)
            await backoff.pause(exc)
        else:
            return
        finally:
            call.cancel()


async def _next(stream: AsyncIterator[Response]) -> Response | None:
    # Around the read alone: a reader who takes its time is not a silent server.
    async with asyncio.timeout(SILENCE_SECONDS):
        return await anext(stream, None)
