"""The client for code without an event loop: calls that block, watches that are plain iterators.

Example:
    with blocking.connect("127.0.0.1:50051", tenant="plant-2", actor="wms") as client:
        run = client.records.CreateTaskRecord(request)
        for event in blocking.watch_run(client, run.id):
            ...

Arguments, deadlines, repeats and errors are the async client's, which runs in a background thread.
Many threads may share a client. Ctrl-C ends the call that waits.

gRPC does not survive a fork. A client that was connected before one, and a new one where the parent
has had one, raise RuntimeError. What forks (gunicorn) connects afterwards, in each worker; processes
of `multiprocessing` are to be spawned.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import grpc
from google.protobuf.descriptor import FileDescriptor
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from vwed.client import connection, watch
from vwed.client.background import BackgroundLoop, background_loop

if TYPE_CHECKING:
    from vwed.v1.cache_service_pb2_grpc import CacheServiceStub
    from vwed.v1.record_service_pb2_grpc import RecordServiceStub
    from vwed.v1.task_def_service_pb2_grpc import TaskDefServiceStub

P = ParamSpec("P")
T = TypeVar("T")
_END: Any = object()


@dataclass(frozen=True)
class Client:
    """The stubs of one connection. Each RPC is a function that returns the response.

    A streamed response is an iterator; streamed requests are an iterable. StreamBlockReports, which
    has both, is left to the async client: ReportBlocks does the same.
    """

    definitions: "TaskDefServiceStub"
    records: "RecordServiceStub"
    cache: "CacheServiceStub"
    waited_for: connection.Client
    """The async client that does the work."""
    loop: BackgroundLoop
    """Where it does it."""


def _connecting(
    connect: Callable[P, AbstractAsyncContextManager[connection.Client]],
) -> Callable[P, AbstractContextManager[Client]]:
    @contextmanager
    @functools.wraps(connect)
    def connect_and_block(*args: P.args, **kwargs: P.kwargs) -> Generator[Client]:
        loop = background_loop()
        connected = connect(*args, **kwargs)
        client = loop.run(connected.__aenter__())
        try:
            yield Client(
                _stub(task_def_service_pb2.DESCRIPTOR, client.definitions, loop),
                _stub(record_service_pb2.DESCRIPTOR, client.records, loop),
                _stub(cache_service_pb2.DESCRIPTOR, client.cache, loop),
                client,
                loop,
            )
        finally:
            if not loop.unreachable():
                loop.run(connected.__aexit__(None, None, None))

    return connect_and_block


def _iterating(
    iterate: Callable[Concatenate[connection.Client, P], AsyncGenerator[T]],
) -> Callable[Concatenate[Client, P], Generator[T]]:
    @functools.wraps(iterate)
    def iterate_and_block(client: Client, *args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        return _plain(iterate(client.waited_for, *args, **kwargs), client.loop)

    return iterate_and_block


def _plain(items: AsyncGenerator[T], loop: BackgroundLoop) -> Generator[T]:
    turn = asyncio.Lock()

    async def step() -> T:
        async with turn:
            return await anext(items, _END)

    async def close() -> None:
        async with turn:  # a step that was interrupted is still about to end
            await items.aclose()

    try:
        while (item := loop.run(step())) is not _END:
            yield item
    finally:
        if not loop.unreachable():
            loop.run(close())


connect = _connecting(connection.connect)
watch_run = _iterating(watch.watch_run)
watch_messages = _iterating(watch.watch_messages)


def _stub(file: FileDescriptor, stub: Any, loop: BackgroundLoop) -> Any:
    """The methods of the file's one service."""
    (service,) = file.services_by_name.values()
    return SimpleNamespace(
        **{
            method.name: _METHODS[method.client_streaming, method.server_streaming](
                getattr(stub, method.name), loop
            )
            for method in service.methods
        }
    )


def _unary(method: Any, loop: BackgroundLoop) -> Callable[..., Any]:
    def call(request: Any, **kwargs: Any) -> Any:
        async def answer() -> Any:
            return await method(request, **kwargs)

        return loop.run(answer())

    return call


def _streams_responses(method: Any, loop: BackgroundLoop) -> Callable[..., Any]:
    def call(request: Any, **kwargs: Any) -> Generator[Any]:
        async def responses() -> AsyncGenerator[Any]:
            call = method(request, **kwargs)
            try:
                async for response in call:
                    yield response
            finally:
                call.cancel()

        return _plain(responses(), loop)

    return call


def _streams_requests(method: Any, loop: BackgroundLoop) -> Callable[..., Any]:
    def call(request_iterator: Iterable[Any], **kwargs: Any) -> Any:
        async def begin() -> Any:
            return method(**kwargs)

        async def write(request: Any) -> bool:
            if begun.done():  # answered before it had everything
                return False
            await begun.write(request)
            return True

        async def answer() -> Any:
            await begun.done_writing()
            return await begun

        async def cancel() -> None:
            begun.cancel()

        begun = loop.run(begin())
        try:
            # The iterator runs in the caller's thread, so it may use this client, too.
            all(loop.run(write(request)) for request in request_iterator)
            return loop.run(answer())
        except BaseException:
            loop.run(cancel())
            raise

    return call


def _streams_both(method: Any, loop: BackgroundLoop) -> Callable[..., Any]:  # noqa: ARG001 - one of four alike
    def call(request_iterator: Iterable[Any], **kwargs: Any) -> Any:
        raise NotImplementedError("of the blocking clients' calls, ReportBlocks does the same")

    return call


_METHODS = {
    (False, False): _unary,
    (False, True): _streams_responses,
    (True, False): _streams_requests,
    (True, True): _streams_both,
}
