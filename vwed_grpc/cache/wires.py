"""A wire to each primary of Redis."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from vwed_grpc.cache.deployment import Deployment, Layout
from vwed_grpc.cache.keys import PROBE
from vwed_grpc.cache.wire import Wire


class Wires:
    """Each command takes the wire to the server that has its key."""

    def __init__(
        self,
        deployment: Deployment,
        layout: Layout,
        delivered: Callable[[], Iterable[str]],
        lost: Callable[[Exception], None],
    ) -> None:
        """Nothing is sent yet.

        Args:
            deployment: knows the slots of keys.
            layout: where they are; it does not change for these wires.
            delivered: keys whose deletion a server may have forgotten.
            lost: hears why when one of the servers is given up, before any caller does.
        """
        self._deployment = deployment
        self._owners = layout.owners
        self._delivered = delivered
        servers = range(len(layout.servers))
        self._probes = [deployment.name_at(server, layout, PROBE) for server in servers]
        self._wires = [
            Wire(url, lost, partial(self._greeting, server), stays=deployment.stays)
            for server, url in enumerate(layout.servers)
        ]

    def send(self, key: str, *words: bytes | str | int, once: bool = False) -> asyncio.Future[Any]:
        """As `Wire.send`; all keys in `words` have the slot of `key`."""
        return self._wires[self._owner(key)].send(*words, once=once)

    async def probe(self) -> None:
        """Returns if all servers take deletions. Raises what one of them has against it."""
        await asyncio.gather(*(self.send(key, "UNLINK", key) for key in self._probes))

    async def aclose(self) -> None:
        """Fail what still waits and disconnect."""
        await asyncio.gather(*(wire.aclose() for wire in self._wires))

    def _owner(self, key: str) -> int:
        return self._owners[self._deployment.slot(key)]

    def _greeting(self, server: int) -> Iterator[tuple[str, ...]]:
        """A replica refuses it; a server that has forgotten deletions carries them out again."""
        yield "UNLINK", self._probes[server]
        own = (key for key in self._delivered() if self._owner(key) == server)
        for some in self._deployment.in_commands(own):
            yield "UNLINK", *some
