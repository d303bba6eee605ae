import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec

from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from vwed.client import connection
from vwed.client.blocking.loop import BackgroundLoop, background_loop
from vwed.client.blocking.methods import blocking_stub

if TYPE_CHECKING:
    from vwed.v1.cache_service_pb2_grpc import CacheServiceStub
    from vwed.v1.record_service_pb2_grpc import RecordServiceStub
    from vwed.v1.task_def_service_pb2_grpc import TaskDefServiceStub

P = ParamSpec("P")


@dataclass(frozen=True)
class Client:
    """The three services of one connection: `client.records.GetTaskRecord(request)`.

    Methods are functions of the request, and of `timeout` and `metadata` by keyword. Streams of
    responses are iterators; streams of requests (ImportTaskDefs, StreamBlockReports) are left to
    the async client.
    """

    definitions: "TaskDefServiceStub"
    records: "RecordServiceStub"
    cache: "CacheServiceStub"
    asynchronous: connection.Client
    """The client that does the work, in `loop`."""
    loop: BackgroundLoop


def _blocking(
    connect: Callable[P, AbstractAsyncContextManager[connection.Client]],
) -> Callable[P, AbstractContextManager[Client]]:
    @contextmanager
    @functools.wraps(connect)
    def blocking_connect(*args: P.args, **kwargs: P.kwargs) -> Iterator[Client]:
        loop = background_loop()
        opened = connect(*args, **kwargs)
        client = loop.run(opened.__aenter__())
        try:
            yield Client(
                blocking_stub(client.definitions, task_def_service_pb2.DESCRIPTOR, loop),
                blocking_stub(client.records, record_service_pb2.DESCRIPTOR, loop),
                blocking_stub(client.cache, cache_service_pb2.DESCRIPTOR, loop),
                client,
                loop,
            )
        finally:
            if not loop.unreachable():
                loop.run(opened.__aexit__(None, None, None))

    return blocking_connect


connect = _blocking(connection.connect)
