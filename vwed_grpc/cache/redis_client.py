"""Redis, used while it behaves well: nobody waits for it when it does not."""

import asyncio
import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog
from redis.exceptions import OutOfMemoryError, ResponseError

from vwed_grpc.cache.breaker import Breaker, BreakerState
from vwed_grpc.cache.counters import CacheCounters
from vwed_grpc.cache.keys import PROBE
from vwed_grpc.cache.undelivered import Undelivered
from vwed_grpc.cache.wire import RedisAway, Wire
from vwed_grpc.storage.chunks import chunks
from vwed_grpc.telemetry.tracing import step
from vwed_grpc.turns import Turns

MAX_LIFETIME = 62.0
"""Seconds after which nothing that was in Redis is still there (contract, section 1)."""

_SAID = {
    BreakerState.OPEN: (logging.WARNING, "redis is away, PostgreSQL answers alone"),
    BreakerState.HALF_OPEN: (logging.DEBUG, "redis answers"),
    BreakerState.CLOSED: (logging.INFO, "redis is in use"),
}
"""What the log says of the breaker's states, and at which level."""
_KEPT = 65_536
_DELETED_AT_ONCE = 1_000
"""Keys in one command: few enough that Redis, which does one thing at a time, stays prompt."""


class CommandRefused(RedisAway):
    """Redis is well, but not with this command: a value of a foreign type, no memory left."""


class RedisClient:
    """The connection to Redis, the circuit breaker before it and the invalidations it still owes.

    A Redis that is down, frozen or wrong costs the callers of that moment two time-outs (0.2 s) and
    nobody after them: the breaker opens at the first command that fails twice, or is refused for a
    reason that concerns the server as a whole (`READONLY`, `NOAUTH`, …), and only a background task
    then looks whether Redis is back. No invalidation is lost meanwhile: an acknowledged write must
    not be hidden from this process by a value that survived, so the kept ones are replayed before
    `trusted` is true again.

    Without a URL there is no Redis: the same as one that never comes back.
    """

    def __init__(
        self, url: str | None, *, kept: int = _KEPT, lifetime: float = MAX_LIFETIME
    ) -> None:
        self.counters = CacheCounters()
        self._url = url
        self._wire: Wire | None = None
        self._breaker = Breaker()
        self._undelivered = Undelivered(kept, lifetime)
        self._recovery: asyncio.Task[None] | None = None
        self._log = structlog.get_logger().bind()

    @property
    def state(self) -> BreakerState:
        """Of the circuit breaker."""
        return self._breaker.state

    @property
    def trusted(self) -> bool:
        """Whether values in Redis may be believed."""
        return self._breaker.state is BreakerState.CLOSED

    async def __aenter__(self) -> Self:
        if self._url is not None:
            self._wire = Wire(self._url, self._open)
            if (missed := await self._come_back(self._wire)) is not None:
                self._log.warning(_SAID[BreakerState.OPEN][1], why=repr(missed))
                self._recovery = asyncio.create_task(self._recover(self._wire))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait((self._recovery,))
        if self._wire is not None:
            wire, self._wire = self._wire, None
            await wire.aclose()

    async def ask(self, *words: bytes | str | int, once: bool = False) -> Any:
        """What Redis says to one command.

        Args:
            words: the command and its arguments.
            once: the command is not safe to repeat (see `Wire.send`).

        Raises:
            CommandRefused: for this key or value alone.
            RedisAway: in any other trouble; raised at once while the breaker is open.
        """
        if self._wire is None or self._breaker.state is BreakerState.OPEN:
            raise RedisAway(self._breaker.state)
        try:
            with step("redis", words[0]):
                return await self._wire.send(*words, once=once)
        except ResponseError as refusal:
            if isinstance(refusal, OutOfMemoryError) or str(refusal).startswith("WRONGTYPE"):
                raise CommandRefused(refusal) from refusal
            self._open(refusal)
            raise RedisAway(refusal) from refusal

    async def committed(
        self, invalidate: Iterable[str], publish: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        """Tell Redis what a transaction changed: after its commit, before its answer.

        One round trip. Never raises. When it returns, no read of this process that begins later
        gets an older value: the keys are deleted, or they are kept and nothing is believed until
        they are. Messages (channel, payload) are published if Redis is there, else forgotten.
        A caller that is cancelled leaves all of it going on.
        """
        keys = tuple(invalidate)
        if self._wire is None:
            return
        if self._breaker.state is BreakerState.OPEN:
            self._keep(keys)
            return
        sent = []
        turns = Turns()
        sending = self._sending(self._wire, keys, publish)
        try:
            for command in sending:
                sent.append(command)
                await turns.next()
        except asyncio.CancelledError:
            sent += sending  # what is left leaves at once
            raise
        if sent:
            with step("redis", "UNLINK and PUBLISH"):
                await asyncio.wait(sent)  # which, unlike gather, cancels none of them

    def _sending(
        self, wire: Wire, keys: tuple[str, ...], publish: Iterable[tuple[str, bytes]]
    ) -> Iterator[asyncio.Future[Any]]:
        """Sends one command each time it is asked for the next."""
        for some in chunks(keys, _DELETED_AT_ONCE):
            deletion = wire.send("UNLINK", *some)
            deletion.add_done_callback(partial(self._deleted, some))
            yield deletion
        for channel, message in publish:
            wake_up = wire.send("PUBLISH", channel, message)
            wake_up.add_done_callback(asyncio.Future.exception)  # looked at, so nothing warns of it
            yield wake_up

    def _deleted(self, keys: Sequence[str], answer: asyncio.Future[Any]) -> None:
        if (error := answer.exception()) is not None:
            self._keep(keys)
            self._open(error)

    def _keep(self, keys: Iterable[str]) -> None:
        self._undelivered.add(keys, asyncio.get_running_loop().time())
        self.counters.undelivered = len(self._undelivered)

    def _open(self, why: BaseException) -> None:
        if self._breaker.state is BreakerState.OPEN or self._wire is None:
            return
        self._to(BreakerState.OPEN, why=repr(why))
        self.counters.opened += 1
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._recover(self._wire))

    def _to(self, state: BreakerState, **said: str) -> None:
        self._breaker.to(state, asyncio.get_running_loop().time())
        level, event = _SAID[state]
        self._log.log(level, event, **said)

    async def _recover(self, wire: Wire) -> None:
        while self._breaker.state is not BreakerState.CLOSED:
            await asyncio.sleep(self._breaker.pause * random.uniform(0.5, 1))  # noqa: S311 - spread
            self._breaker.tried()
            await self._come_back(wire)

    async def _come_back(self, wire: Wire) -> Exception | None:
        """Probe Redis by replaying what it missed; None: it is trusted again, else why not."""
        now = asyncio.get_running_loop().time
        while True:
            taken = self._undelivered.take(_DELETED_AT_ONCE)
            try:
                await wire.send("UNLINK", PROBE, *taken)
            except Exception as error:  # noqa: BLE001 - whatever it is, Redis cannot be used yet
                self._undelivered.restore(taken)
                self._open(error)
                return error
            if self._breaker.state is BreakerState.OPEN:
                self._to(BreakerState.HALF_OPEN)
            self.counters.undelivered = len(self._undelivered)
            if self._undelivered:
                continue
            if (wait := self._undelivered.trusted_from - now()) <= 0:
                self._to(BreakerState.CLOSED)
                return None
            await asyncio.sleep(min(wait, Breaker.LONGEST))
