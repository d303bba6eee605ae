"""The methods of a stub, as functions that wait."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from types import SimpleNamespace
from typing import Any

from google.protobuf.descriptor import FileDescriptor

from vwed.client.blocking.iteration import plain
from vwed.client.blocking.loop import BackgroundLoop

Blocking = Callable[..., Any]


def blocking_stub(stub: Any, file: FileDescriptor, loop: BackgroundLoop) -> Any:
    """The stub of the file's one service."""
    (service,) = file.services_by_name.values()
    return SimpleNamespace(
        **{
            rpc.name: _KINDS[rpc.client_streaming, rpc.server_streaming](
                getattr(stub, rpc.name), loop
            )
            for rpc in service.methods
        }
    )


def _unary(method: Any, loop: BackgroundLoop) -> Blocking:
    async def answer(request: Any, **options: Any) -> Any:
        return await method(request, **options)

    def call(request: Any, **options: Any) -> Any:
        return loop.run(answer(request, **options))

    return call


def _streams_responses(method: Any, loop: BackgroundLoop) -> Blocking:
    async def responses(request: Any, **options: Any) -> AsyncGenerator[Any]:
        stream = method(request, **options)
        try:
            async for response in stream:
                yield response
        finally:
            stream.cancel()

    def call(request: Any, **options: Any) -> Generator[Any]:
        return plain(responses(request, **options), loop)

    return call


def _streams_requests(_method: Any, _loop: BackgroundLoop) -> Blocking:
    def call(request_iterator: Iterable[Any], **options: Any) -> Any:
        raise NotImplementedError("streams of requests are left to the async client")

    return call


_KINDS = {
    (False, False): _unary,
    (False, True): _streams_responses,
    (True, False): _streams_requests,
    (True, True): _streams_requests,
}
