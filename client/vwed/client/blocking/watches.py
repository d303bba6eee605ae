"""The watches of `vwed.client`, as plain iterators."""

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Concatenate, ParamSpec, TypeVar

from vwed.client import connection, feed, watch
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


watch_run = _blocking(watch.watch_run)
watch_messages = _blocking(watch.watch_messages)
watch_runs = _blocking(feed.watch_runs)
