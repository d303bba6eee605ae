"""Redis, used while it behaves well: nobody waits for it when it does not."""

import asyncio
import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any, Self

import structlog
from redis.exceptions import OutOfMemoryError, ResponseError

from vwed_grpc.cache.breaker import Breaker, BreakerState
from vwed_grpc.cache.counters import CacheCounters
from vwed_grpc.cache.delivered import Delivered
from vwed_grpc.cache.deployment import Deployment, deployed
from vwed_grpc.cache.undelivered import Undelivered
from vwed_grpc.cache.wire import RedisAway
from vwed_grpc.cache.wires import Wires
from vwed_grpc.loop.ending import end
from vwed_grpc.loop.turns import Turns
from vwed_grpc.telemetry.tracing import step

MAX_LIFETIME = 62.0
"""Seconds after which nothing that was in Redis is still there (contract, section 1)."""

_SAID = {
    BreakerState.OPEN: (logging.WARNING, "redis is away, PostgreSQL answers alone"),
    BreakerState.HALF_OPEN: (logging.DEBUG, "redis answers"),
    BreakerState.CLOSED: (logging.INFO, "redis is in use"),
}
"""What the log says of the breaker's states, and at which level."""
_KEPT = 65_536
_REMEMBERED = 8_192
"""Deletions that are carried out again on a new connection: they must not hold up what follows."""
_REPLAYED_AT_ONCE = 1_000


class CommandRefused(RedisAway):
    """Redis is well, but not with this command: a value of a foreign type, no memory left."""


class RedisClient:
    """The wires to Redis, the circuit breaker before them and the invalidations it still owes.

    A Redis that is down, frozen or wrong costs the callers of that moment two time-outs (0.2 s) and
    nobody after them: the breaker opens at the first command that fails twice, or is refused for a
    reason that concerns the server as a whole (`READONLY`, `MOVED`, `NOAUTH`, …), and only a
    background task then looks where Redis is, and whether it is back. No invalidation is lost
    meanwhile: an acknowledged write must not be hidden from this process by a value that survived,
    so the kept ones are replayed before `trusted` is true again.

    A new connection may lead to a server that was not told of the latest deletions: a replica that
    took over, or one that was restarted from its disk. So these are carried out again before
    anything is read from it.

    Without a URL there is no Redis: the same as one that never comes back.
    """

    def __init__(
        self, url: str | None, *, kept: int = _KEPT, lifetime: float = MAX_LIFETIME
    ) -> None:
        self.counters = CacheCounters()
        self._deployment = deployed(url) if url is not None else None
        self._wires: Wires | None = None
        self._breaker = Breaker()
        self._undelivered = Undelivered(kept, lifetime)
        self._delivered = Delivered(_REMEMBERED, lifetime)
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

    def slot(self, key: str) -> int:
        """One command takes keys of the same slot alone."""
        return self._deployment.slot(key) if self._deployment is not None else 0

    async def __aenter__(self) -> Self:
        if self._deployment is not None:
            missed = await self._come_back(self._deployment)
            if missed is not None:
                self._log.warning(_SAID[BreakerState.OPEN][1], why=_plain(missed))
                self._recovery = asyncio.create_task(self._recover(self._deployment))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._recovery is not None:
            await end([self._recovery])
        if self._wires is not None:
            wires, self._wires = self._wires, None
            await wires.aclose()

    async def ask(self, key: str, *words: bytes | str | int, once: bool = False) -> Any:
        """What Redis says to one command.

        Args:
            key: in `words`; others there have its slot.
            words: the command and its arguments.
            once: the command is not safe to repeat (see `Wire.send`).

        Raises:
            CommandRefused: for this key or value alone.
            RedisAway: in any other trouble; raised at once while the breaker is open.
        """
        if self._wires is None or self._breaker.state is BreakerState.OPEN:
            raise RedisAway(self._breaker.state)
        try:
            with step("redis", words[0]):
                return await self._wires.send(key, *words, once=once)
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
        if self._deployment is None:
            return
        if self._wires is None or self._breaker.state is BreakerState.OPEN:
            self._keep(keys)
            return
        sent = []
        turns = Turns()
        sending = chain(
            self._deleting(self._deployment, self._wires, keys),
            self._publishing(self._wires, publish),
        )
        try:
            for command in sending:
                sent.append(command)
                await turns.next()
        except asyncio.CancelledError:
            sent += sending  # what is left leaves at once
            raise
        if sent:
            with step("redis", "UNLINK and SPUBLISH"):
                await asyncio.wait(sent)  # which, unlike gather, cancels none of them

    def _deleting(
        self, deployment: Deployment, wires: Wires, keys: Iterable[str]
    ) -> Iterator[asyncio.Future[Any]]:
        for some in deployment.in_commands(keys):
            self._delivered.add(some, asyncio.get_running_loop().time())
            deletion = wires.send(some[0], "UNLINK", *some)
            deletion.add_done_callback(partial(self._deleted, some))
            yield deletion

    def _publishing(
        self, wires: Wires, publish: Iterable[tuple[str, bytes]]
    ) -> Iterator[asyncio.Future[Any]]:
        for channel, message in publish:
            # To the server that has the channel, and no other of a cluster.
            wake_up = wires.send(channel, "SPUBLISH", channel, message)
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
        if self._breaker.state is BreakerState.OPEN or self._wires is None:
            return
        self._to(BreakerState.OPEN, why=_plain(why))
        self.counters.opened += 1
        if self._deployment is not None and (self._recovery is None or self._recovery.done()):
            self._recovery = asyncio.create_task(self._recover(self._deployment))

    def _to(self, state: BreakerState, **said: str) -> None:
        self._breaker.to(state, asyncio.get_running_loop().time())
        level, event = _SAID[state]
        self._log.log(level, event, **said)

    async def _recover(self, deployment: Deployment) -> None:
        while self._breaker.state is not BreakerState.CLOSED:
            await asyncio.sleep(self._breaker.pause * random.uniform(0.5, 1))  # noqa: S311 - spread
            self._breaker.tried()
            await self._come_back(deployment)

    async def _come_back(self, deployment: Deployment) -> Exception | None:
        """Find Redis and replay what it missed; None: it is trusted again, else why not."""
        now = asyncio.get_running_loop().time
        while True:
            taken: dict[str, float] = {}
            try:
                if self._breaker.state is BreakerState.OPEN:
                    await self._find(deployment)
                    self._to(BreakerState.HALF_OPEN)
                taken = self._undelivered.take(_REPLAYED_AT_ONCE)
                await self._replay(deployment, taken)
            except Exception as error:  # noqa: BLE001 - whatever it is, Redis cannot be used yet
                self._undelivered.restore(taken)
                self._open(error)
                return error
            self.counters.undelivered = len(self._undelivered)
            if self._undelivered or self._breaker.state is BreakerState.OPEN:
                continue
            if (wait := self._undelivered.trusted_from - now()) <= 0:
                self._to(BreakerState.CLOSED)
                return None
            await asyncio.sleep(min(wait, Breaker.LONGEST))

    async def _find(self, deployment: Deployment) -> None:
        """New wires, to where Redis is now, if it takes deletions there."""
        if self._wires is not None:
            await self._wires.aclose()
        layout = await deployment.layout()
        self._wires = Wires(deployment, layout, self._lately, self._open)
        await self._wires.probe()

    async def _replay(self, deployment: Deployment, keys: Iterable[str]) -> None:
        if self._wires is not None:
            await asyncio.gather(*self._deleting(deployment, self._wires, keys))

    def _lately(self) -> list[str]:
        return self._delivered.lately(asyncio.get_running_loop().time())


def _plain(why: BaseException) -> str:
    """For operators; a `repr` of redis-py's errors has no word of where and what."""
    return str(why) or repr(why)
