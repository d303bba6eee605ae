"""The watches of `vwed.client`, as plain iterators."""

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing
from typing import Concatenate, ParamSpec, TypeVar

from vwed.v1.record_service_pb2 import WatchTaskRecordResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed.client import connection, watch_many, watch_one
from vwed.client.blocking.connection import Client
from vwed.client.blocking.iteration import plain

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    watch: Callable[Concatenate[connection.Client, P], AsyncGenerator[T]],
) -> Callable[Concatenate[Client, P], Generator[T]]:
    @functools.wraps(watch)
    def blocking_watch(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        return plain(watch(client.asynchronous, *args, **kwargs), client.loop)

    return blocking_watch


def _events(
    watch_messages: Callable[Concatenate[Client, P], Generator[WatchTaskRecordResponse]],
) -> Callable[Concatenate[Client, P], Generator[TaskRecordEvent]]:
    # The way to the loop and back costs as much for a message as it would for each of its events.
    @functools.wraps(watch_one.watch_run)
    def watch_run(
        client: Client, /, *args: P.args, **kwargs: P.kwargs
    ) -> Generator[TaskRecordEvent]:
        with closing(watch_messages(client, *args, **kwargs)) as messages:
            for message in messages:
                yield from message.events

    return watch_run


watch_messages = _blocking(watch_one.watch_messages)
watch_run = _events(watch_messages)
watch_runs = _blocking(watch_many.watch_runs)
