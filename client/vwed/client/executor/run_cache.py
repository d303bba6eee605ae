from datetime import timedelta
from typing import Any
from uuid import uuid4

from vwed.v1.cache_service_pb2 import (
    DeleteDataCacheRequest,
    GetDataCacheRequest,
    IncrementDataCacheRequest,
    SetDataCacheRequest,
)

from vwed.client.connection import Client
from vwed.client.errors import NotFound
from vwed.client.executor.persistent_calls import PersistentCalls
from vwed.client.values import data_cache, entry_value

Number = int | float
"""Which of the two it is decides which an entry becomes."""


class RunCache:
    """The data cache of one run: values that outlive the executor, and that others see.

    A service that is away is waited for. What it refuses is raised as CallError.
    """

    def __init__(self, client: Client, calls: PersistentCalls, run_id: str) -> None:
        self._cache = client.cache
        self._calls = calls
        self._run_id = run_id

    async def get(self, key: str, default: Any = None) -> Any:
        """The value with its type, `default` if there is none (any more)."""
        request = GetDataCacheRequest(task_record_id=self._run_id, key=key)
        try:
            answer = await self._calls.ask(self._cache.GetDataCache, request)
        except NotFound:
            return default
        return entry_value(answer.response)

    async def set(self, key: str, value: Any, ttl: float | timedelta | None = None) -> None:
        """Keeps a str, int, float, bool, bytes, datetime with a zone, or JSON.

        `ttl`: seconds, or a timedelta; None keeps it as long as the run.
        """
        request = SetDataCacheRequest(data_cache=data_cache(self._run_id, key, value))
        if ttl is not None:
            span = ttl if isinstance(ttl, timedelta) else timedelta(seconds=ttl)
            request.ttl.FromTimedelta(span)
        await self._calls.ask(self._cache.SetDataCache, request)

    async def increment(self, key: str, delta: Number = 1, initial: Number | None = None) -> Number:
        """Adds to a number in one step, and answers the sum; an absent one counts from `initial`.

        An int adds to an int, a float to a float. It is counted once, however often the call had to
        be made.
        """
        request = IncrementDataCacheRequest(
            task_record_id=self._run_id, key=key, request_id=str(uuid4())
        )
        if isinstance(delta, float):
            request.double_delta = delta
        else:
            request.int_delta = delta
        if isinstance(initial, float):
            request.double_initial = initial
        elif initial is not None:
            request.initial = initial
        entry = (await self._calls.ask(self._cache.IncrementDataCache, request)).response
        return entry.int_value if entry.HasField("int_value") else entry.double_value

    async def delete(self, key: str) -> None:
        """Whether or not there is such an entry."""
        request = DeleteDataCacheRequest(task_record_id=self._run_id, key=key)
        try:
            await self._calls.ask(self._cache.DeleteDataCache, request)
        except NotFound:
            return
