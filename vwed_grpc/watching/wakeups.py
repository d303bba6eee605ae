"""Subscriptions to Redis channels: only ever a wake-up, for messages can be lost at any time.

Each (re)subscription counts as a gap, and so does a lost connection: the listener is called with
None and looks for itself. What was not sealed by this service, for that channel, nobody hears.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from vwed_grpc.cache.client import client
from vwed_grpc.cache.deployment import Deployment, Layout, deployed
from vwed_grpc.cache.seal import LENGTH, Seal

log = structlog.get_logger(__name__)

Listener = Callable[[bytes | None], None]
_OWN_CHANNEL = "vwed:wakeups"
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
    """One connection to each primary of Redis, for all channels that this process listens to.

    Channels are sharded: in a cluster a message goes to the server that has its channel, and to no
    other. If any connection is lost, or a channel's slot moves, all begin anew.
    """

    def __init__(self, url: str | None, seal: Seal) -> None:
        """`url`: see `deployed`; None: there is no Redis."""
        self._seal = seal
        self._deployment = deployed(url) if url is not None else None
        self._listeners: dict[str, list[Listener]] = {}
        self._changed: asyncio.Queue[str] | None = None
        """Channels that the connections, while there are any, have yet to follow or to leave."""
        self.connected = False
        """Whether wake-ups can be expected; else listeners must look for themselves."""
        self.foreign = 0
        """Messages that were not this service's, on their channels."""

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

    def message(self, channel: str, content: bytes) -> tuple[str, bytes]:
        """What to publish, and where, that other processes' listeners are called with `content`."""
        return channel, self._seal.sealed(channel, content)

    def tell(self, channel: str) -> None:
        """Calls this process's own listeners at once, Redis or not."""
        for listener in tuple(self._listeners.get(channel, ())):
            listener(b"")

    async def run(self) -> None:
        """Listens until cancelled, and reconnects by itself."""
        while self._deployment is not None:
            try:
                await self._follow(self._deployment)
            except* _LOST as group:
                log.debug("wakeups.disconnected", error=repr(group.exceptions[0]))
            finally:
                self._changed = None
                self._disconnected()
            await asyncio.sleep(_RETRY)

    def _disconnected(self) -> None:
        """From now on listeners look for themselves, and begin at once."""
        if self.connected:
            self.connected = False
            for listener in [one for listeners in self._listeners.values() for one in listeners]:
                listener(None)

    async def _follow(self, deployment: Deployment) -> None:
        """Listens until a connection is lost."""
        layout = await deployment.layout()
        async with AsyncExitStack() as stack:
            pubsubs = []
            for url in layout.servers:
                redis = await stack.enter_async_context(client(url, retries=0))
                pubsubs.append(await stack.enter_async_context(redis.pubsub()))

            changed = self._changed = asyncio.Queue()
            connections = _Connections(deployment, layout, pubsubs)
            await connections.subscribe([*connections.own_channels, *self._listeners])
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_changes(connections, changed))
                for pubsub in pubsubs:
                    tasks.create_task(self._hear(connections, pubsub))

    async def _follow_changes(self, to: "_Connections", changed: asyncio.Queue[str]) -> None:
        while not _cancelled():
            channel = await changed.get()
            if channel in self._listeners:
                await to.subscribe([channel])
            else:
                await to.unsubscribe(channel)

    async def _hear(self, connections: "_Connections", pubsub: PubSub) -> None:
        silent = False
        while not _cancelled():
            message = await pubsub.get_message(timeout=_SILENCE)
            if message is None:
                if silent:
                    raise TimeoutError
                silent = True
                await pubsub.ping()
                continue
            silent = False
            connections.silent.discard(pubsub)
            self.connected = not connections.silent
            channel = (message["channel"] or b"").decode()
            match message["type"]:
                case "smessage" if not self._seal.fits(channel, message["data"]):
                    self.foreign += 1
                case "smessage" | "ssubscribe" as kind:
                    data = message["data"][LENGTH:] if kind == "smessage" else None
                    for listener in tuple(self._listeners.get(channel, ())):
                        listener(data)
                case "sunsubscribe":
                    connections.left(channel)


def _cancelled() -> bool:
    """The library may swallow a cancellation that comes as its own time-out does."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Connections:
    """To all primaries of one layout."""

    def __init__(self, deployment: Deployment, layout: Layout, pubsubs: Sequence[PubSub]) -> None:
        self._deployment = deployment
        self._layout = layout
        self._pubsubs = pubsubs
        self.own_channels = [
            deployment.name_at(server, layout, _OWN_CHANNEL) for server in range(len(pubsubs))
        ]
        """One at each server: a PubSub without any subscription does not listen."""
        self.silent = set(pubsubs)
        """Those from which nothing has come yet."""
        self._leaving = Counter[str]()

    async def subscribe(self, channels: Sequence[str]) -> None:
        for some in self._deployment.in_commands(channels):
            await self._of(some[0]).ssubscribe(*some)

    async def unsubscribe(self, channel: str) -> None:
        self._leaving[channel] += 1
        await self._of(channel).sunsubscribe(channel)

    def left(self, channel: str) -> None:
        """A server has ended a subscription. Raises RedisError if that was not asked for."""
        if not self._leaving[channel]:
            raise RedisError(f"another server has {channel} now")
        self._leaving[channel] -= 1
        if not self._leaving[channel]:
            del self._leaving[channel]

    def _of(self, channel: str) -> PubSub:
        return self._pubsubs[self._layout.owners[self._deployment.slot(channel)]]
