"""Reads through Redis that no acknowledged write can make stale."""

import asyncio
import itertools
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, replace
from functools import partial
from types import TracebackType
from typing import Final, NamedTuple, Self

import structlog

from vwed_grpc.cache.batched_gets import batched_gets
from vwed_grpc.cache.counters import CacheCounters
from vwed_grpc.cache.flights import Flight
from vwed_grpc.cache.redis_client import CommandRefused, RedisClient
from vwed_grpc.cache.seal import LENGTH, Seal
from vwed_grpc.cache.wire import RedisAway
from vwed_grpc.domain.errors import Unavailable
from vwed_grpc.loop.ending import end

MAX_TTL = 60.0
"""Seconds: with the lease, the contract's 62."""

MAX_VALUE = 256 * 1024
"""Bytes: larger answers are not stored, they would hold up the small ones on the wire."""

_LEASE_MS = 2_000
_ABSENT_TTL = 5.0
_TURN = 0.1
"""Seconds to wait, without a lease, for an earlier load of the same key before beginning one."""

_SAID_EVERY = 1.0

# What is stored is sealed; the first byte in it tells what it is.
_VALUE: Final = b"V"
_ABSENT: Final = b"A"
_LEASE: Final = b"L"
"""What is not sealed, since nothing of it is served."""

_UNKNOWN: Final = _LEASE
"""Redis did not say: as good as a lease of somebody else, since a token is never empty."""

FILL = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local left = ARGV[3] - ARGV[4] + redis.call('PTTL', KEYS[1])
if left <= 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', left)
return 1
"""
"""Stores a value if its lease stands; its time to live (ms) counts from the taking of the lease."""


class Loaded(NamedTuple):
    """What a load may answer instead of the bytes alone."""

    value: bytes | None
    ttl: float | None = None
    """Seconds after the load began during which it may be given to readers who come later, if fewer
    than the caller's; not above 0: do not store it."""


Load = Callable[[], Awaitable[bytes | Loaded | None]]
"""Reads the database, in a snapshot taken after it was called: the serialized answer, or None if
there is no such thing. It runs in a task of its own and may serve other readers, so it must not
depend on its caller staying."""


class ReadThrough:
    """Serialized answers, one Redis key for each.

    A key holds a value, a remembered absence, or the lease of the reader who fetches it. A miss
    takes the lease (`SET NX`), loads, and stores what it loaded only if its lease still stands; a
    write deletes whatever stands there after its commit and before its answer. So a reader who
    loaded the old row cannot store it after the writer's deletion, nor after a flush or an eviction
    ("Scaling Memcache at Facebook", section 3.2.1). A lease runs out after 2 s.

    Without a lease (Redis away, not yet trusted, or the lease is another process's) a reader loads
    for itself and stores nothing. Which readers may share a load, see `Flight.serves`.
    """

    def __init__(
        self, redis: RedisClient, seal: Seal, believed: Callable[[], bool] = lambda: True
    ) -> None:
        """While `believed` says no, what Redis holds may be of a database that is no longer."""
        self._believed = believed
        self.counters = redis.counters
        self._redis = redis
        self._seal = seal
        self._gets = batched_gets(redis)
        self._flights: dict[str, Flight] = {}  # the latest of each key
        self._tasks: set[asyncio.Task[None]] = set()
        self._began = 0
        self._tokens = (secrets.token_bytes(8) + n.to_bytes(8) for n in itertools.count())
        self._log = structlog.get_logger().bind()
        self._saying: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._log.is_enabled_for(logging.DEBUG):
            self._saying = asyncio.create_task(self._say())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await end(self._tasks | ({self._saying} if self._saying else set()))

    async def _say(self) -> None:
        """Leaves what is counted in the log, as often as it changes but once a second."""
        said = CacheCounters()
        while True:
            if self.counters != said:
                said = replace(self.counters)
                self._log.debug("cache", redis=self._redis.state.value, **asdict(said))
            await asyncio.sleep(_SAID_EVERY)

    async def get(self, key: str, ttl: float, load: Load, *, strong: bool = False) -> bytes | None:
        """The answer under `key`, as it was serialized; None: there is no such thing.

        Args:
            key: from `KeySpace.key`.
            ttl: seconds that the answer may stay in Redis, at most `MAX_TTL`.
            load: reads the database if need be.
            strong: reads the database in any case, for this caller alone.

        Raises:
            Unavailable: the load was given up because the process ends.
            Exception: whatever `load` raises, to every reader who waits for it.
        """
        if strong:
            self.counters.strong += 1
            return _loaded(await load()).value
        arrived = self._began
        held = await self._look(key) if self._redis.trusted and self._believed() else _UNKNOWN
        if held is not None:
            if self._seal.fits(key, held):
                self.counters.hits += 1
                self._log.debug("cache hit", key=key)
                return held[LENGTH + 1 :] if held[LENGTH : LENGTH + 1] == _VALUE else None
            if held[:1] != _LEASE:
                self.counters.foreign += 1
                await self.invalidate((key,))  # make room
        flight = self._flights.get(key)
        if flight is not None and flight.serves(arrived, held):
            self.counters.joined += 1
        else:
            flight = self._launch(key, ttl, load, held)
        answer = await asyncio.shield(flight.answer)
        if flight.outlived(arrived, asyncio.get_running_loop().time()):
            return await self.get(key, ttl, load)
        return answer

    async def invalidate(self, keys: Iterable[str]) -> None:
        """Forget what is stored: after the commit, before the answer."""
        await self._redis.committed(keys)

    async def _look(self, key: str) -> bytes | None:
        """What stands under the key."""
        try:
            return await self._gets.ask(self._redis.slot(key), key)
        except RedisAway:
            return _UNKNOWN

    def _launch(self, key: str, ttl: float, load: Load, held: bytes | None) -> Flight:
        before = self._flights.get(key)
        flight = self._flights[key] = Flight(lease=_lease(held))

        async def fly() -> None:
            own = False
            if held is None:
                flight.lease, own = await self._take_lease(key)
            elif before is not None and not flight.lease:
                await asyncio.wait((before.answer,), timeout=_TURN)
            self._began += 1
            flight.began = self._began
            if own:
                self.counters.misses += 1
            else:
                self.counters.bypasses += 1
            self._log.debug("cache miss", key=key, leased=own)
            since = asyncio.get_running_loop().time()
            loaded = _loaded(await load())
            if loaded.ttl is not None:
                flight.good_until = since + loaded.ttl
            flight.answer.set_result(loaded.value)
            if own:
                await self._fill(key, flight.lease, ttl, loaded)

        task = asyncio.create_task(fly())
        self._tasks.add(task)
        task.add_done_callback(partial(self._landed, key, flight))
        return flight

    def _landed(self, key: str, flight: Flight, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.answer.done():
            failure = None if task.cancelled() else task.exception()
            flight.answer.set_exception(failure or Unavailable("LOAD_ENDED", "the server stops"))
            flight.answer.exception()  # looked at: its readers may all have left

    async def _take_lease(self, key: str) -> tuple[bytes, bool]:
        """The lease that stands in Redis now, empty if none is known to, and whether it is ours."""
        lease = _LEASE + next(self._tokens)
        take = ("SET", key, lease, "NX", "GET", "PX", _LEASE_MS)
        try:
            held: bytes | None = await self._redis.ask(key, *take, once=True)
        except CommandRefused:
            # A value of a foreign type, which `batched_gets` does not see: make room. Or no memory.
            await self.invalidate((key,))
            return b"", False
        except RedisAway:
            return b"", False
        return (lease, True) if held is None else (_lease(held), False)

    async def _fill(self, key: str, lease: bytes, ttl: float, loaded: Loaded) -> None:
        value, limit = loaded
        ttl = min(ttl, MAX_TTL if value is not None else _ABSENT_TTL)
        if limit is not None:
            ttl = min(ttl, limit)
        if ttl <= 0 or (value is not None and len(value) > MAX_VALUE):
            return
        stored = self._seal.sealed(key, _ABSENT if value is None else _VALUE + value)
        ttl_ms = int(ttl * 1000 * random.uniform(0.9, 1))  # noqa: S311 - spreads expiry, no secret
        try:
            done = await self._redis.ask(
                key, "EVAL", FILL, 1, key, lease, stored, ttl_ms, _LEASE_MS, once=True
            )
        except RedisAway:
            return
        if done:
            self.counters.fills += 1
        else:
            self.counters.refused_fills += 1
            self._log.debug("cache fill refused", key=key)


def _lease(held: bytes | None) -> bytes:
    """What was seen under a key, if that is a lease; else empty."""
    return held if held and held.startswith(_LEASE) and held != _UNKNOWN else b""


def _loaded(answer: bytes | Loaded | None) -> Loaded:
    return answer if isinstance(answer, Loaded) else Loaded(answer)
