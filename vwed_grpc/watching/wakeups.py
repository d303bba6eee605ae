"""Subscriptions to Redis channels: only ever a wake-up, for messages can be lost at any time.

Each (re)subscription counts as a gap, and so does a lost connection: the listener is called with
None and looks for itself.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

Listener = Callable[[bytes | None], None]
_OWN_CHANNEL = "vwed:wakeups"  # a PubSub without any subscription does not listen
_SILENCE = 2.0
"""Seconds without a word after which Redis is pinged; after twice that it counts as gone."""
_RETRY = 0.5
_LOST = (RedisError, OSError, TimeoutError, RuntimeError, AttributeError)
"""What a lost connection is known by: the last two are uvloop's and redis-py's own for what is
written to one that has just closed."""
POLL_SECONDS = 4.0
"""With Redis: a lost wake-up is found within 5 s."""
POLL_SECONDS_ALONE = 0.5
"""Without Redis: an event reaches a watcher within 1 s."""


class Wakeups:
    """One connection for all channels that this process listens to."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._listeners: dict[str, list[Listener]] = {}
        self._changed: asyncio.Queue[str] | None = None
        """Channels that the connection, while there is one, has yet to follow or to leave."""
        self.connected = False
        """Whether wake-ups can be expected; else listeners must look for themselves."""

    @contextmanager
    def listen(self, channel: str, listener: Listener) -> Iterator[None]:
        """Calls `listener` with each message, and with None after each gap."""
        listeners = self._listeners.setdefault(channel, [])
        listeners.append(listener)
        if len(listeners) == 1:
            self._note(channel)
        try:
            yield
        finally:
            listeners.remove(listener)
            if not listeners:
                del self._listeners[channel]
                self._note(channel)

    def _note(self, channel: str) -> None:
        if self._changed is not None:  # else the next connection begins with all of them
            self._changed.put_nowait(channel)

    def tell(self, channel: str) -> None:
        """Calls this process's own listeners at once, Redis or not."""
        for listener in tuple(self._listeners.get(channel, ())):
            listener(b"")

    async def run(self) -> None:
        """Listens until cancelled, and reconnects by itself."""
        while self._redis is not None:
            pubsub = self._redis.pubsub()
            changed = self._changed = asyncio.Queue()
            try:
                await pubsub.subscribe(_OWN_CHANNEL, *self._listeners)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._follow_changes(pubsub, changed))
                    tasks.create_task(self._hear(pubsub))
            except* _LOST as group:
                log.debug("wakeups.disconnected", error=repr(group.exceptions[0]))
            finally:
                self._changed = None
                self._disconnected()
                with contextlib.suppress(*_LOST):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # untyped in redis-py
            await asyncio.sleep(_RETRY)

    def _disconnected(self) -> None:
        """From now on listeners look for themselves, and begin at once."""
        if self.connected:
            self.connected = False
            for listener in [one for listeners in self._listeners.values() for one in listeners]:
                listener(None)

    async def _follow_changes(self, pubsub: PubSub, changed: asyncio.Queue[str]) -> None:
        while True:
            channel = await changed.get()
            if channel in self._listeners:
                await pubsub.subscribe(channel)
            else:
                await pubsub.unsubscribe(channel)

    async def _hear(self, pubsub: PubSub) -> None:
        silent = False
        task = asyncio.current_task()
        # The library may swallow a cancellation that comes as its own time-out does.
        while task is not None and not task.cancelling():
            message = await pubsub.get_message(timeout=_SILENCE)
            if message is None:
                if silent:
                    raise TimeoutError
                silent = True
                await pubsub.ping()
                continue
            silent = False
            self.connected = True
            if message["type"] in ("message", "subscribe"):
                data = message["data"] if message["type"] == "message" else None
                for listener in tuple(self._listeners.get(message["channel"].decode(), ())):
                    listener(data)
