"""Where Redis is: one server, the primary that Sentinels name, or the primaries of a cluster."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ConnectionError as RedisConnectionError

from vwed_grpc.cache.client import client

_AT_ONCE = 1_000
"""Keys in one command: few enough that Redis, which does one thing at a time, stays prompt."""
_SENTINEL_PORT, _REDIS_PORT = 26379, 6379
_SENTINEL_ONLY = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which server has which slots, at some moment."""

    servers: Sequence[str]
    """The URLs of all primaries."""
    owners: Sequence[int]
    """By slot: the place in `servers` of the one that has it."""


class Deployment(ABC):
    """A Redis by its URL. Outside of a cluster all keys have slot 0."""

    stays = False
    """Whether the layout never changes. If it may, whoever loses a connection asks for it anew: a
    server that was replaced may come back, and think for seconds that it is still the primary."""

    @abstractmethod
    async def layout(self) -> Layout:
        """Where everything is now, as far as those who are asked know.

        They may be behind: that a server takes writes is seen by writing to it. Raises RedisError
        or OSError if nobody knows.
        """

    def slot(self, key: str) -> int:  # noqa: ARG002 - a cluster looks at it
        """One command may take keys of one slot alone. Channels have slots as keys have."""
        return 0

    def in_commands(self, keys: Iterable[str]) -> Iterator[list[str]]:
        """The keys, as they may be given to one command each."""
        left = iter(keys)
        while some := list(islice(left, _AT_ONCE)):
            by_slot: dict[int, list[str]] = {}
            for key in some:
                by_slot.setdefault(self.slot(key), []).append(key)
            yield from by_slot.values()

    def name_at(self, server: int, layout: Layout, stem: str) -> str:
        """A name that begins with `stem`, of a key or a channel which that server has."""
        names = (f"{stem}:{n}" for n in count())
        return next(name for name in names if layout.owners[self.slot(name)] == server)


def deployed(url: str) -> Deployment:
    """The deployment that a URL names.

    Args:
        url: as `client` takes it, or with several hosts: `redis+sentinel://host:port,…/name/db` or
            `redis+cluster://host:port,…`, of which any may be away; `rediss+…` with TLS. User,
            password and query are for the servers of Redis, `sentinel_username` and
            `sentinel_password` in the query for the Sentinels.

    Raises:
        ValueError: the URL is of another kind.
    """
    scheme, _, kind = urlsplit(url).scheme.partition("+")
    if not kind:
        return _Single(url)
    if scheme in {"redis", "rediss"} and kind == "sentinel":
        return _Sentinels(url)
    if scheme in {"redis", "rediss"} and kind == "cluster":
        return _Cluster(url)
    raise ValueError("is not a URL of Redis")


class _Single(Deployment):
    stays = True

    def __init__(self, url: str) -> None:
        self._layout = Layout((url,), (0,))

    async def layout(self) -> Layout:
        return self._layout


class _Sentinels(Deployment):
    """All are asked: after a failover some learn later than others who the primary is."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        name, _, self._database = self._url.path.strip("/").partition("/")
        self._name = unquote(name) or "mymaster"
        options = dict(parse_qsl(self._url.query))
        user, password = (options.get(key, "") for key in _SENTINEL_ONLY)
        sign_on = f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""
        options = {key: value for key, value in options.items() if key not in _SENTINEL_ONLY}
        self._url = self._url._replace(query=urlencode(options))
        self._sentinels = [
            _server(self._url, host, sign_on=sign_on) for host in _hosts(self._url, _SENTINEL_PORT)
        ]

    async def layout(self) -> Layout:
        answers = await _ask(self._sentinels, "SENTINEL", "MASTER", self._name)
        found = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in answers.values()]
        newest = max(found, key=lambda one: int(one[b"config-epoch"]))
        host = _host(newest[b"ip"].decode(), int(newest[b"port"]))
        return Layout((_server(self._url, host, database=self._database),), (0,))


class _Cluster(Deployment):
    """All are asked, and most believed: who was cut off believes in what was."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._seeds = {_server(self._url, host) for host in _hosts(self._url, _REDIS_PORT)}
        self._known = self._seeds

    def slot(self, key: str) -> int:
        return key_slot(key.encode())

    async def layout(self) -> Layout:
        answers = await _ask(self._known, "CLUSTER", "SLOTS")
        known = set(self._seeds)
        views = Counter[tuple[tuple[int, int, str], ...]]()
        for asked, ranges in answers.items():
            view = []
            for first, last, *nodes in sorted(ranges, key=lambda one: one[0]):
                primary, *replicas = (self._node(asked, node) for node in nodes)
                view.append((first, last, primary))
                known.update((primary, *replicas))
            views[tuple(view)] += 1
        self._known = known
        return _layout(views.most_common(1)[0][0])

    def _node(self, asked: str, node: Sequence[Any]) -> str:
        host, port = node[:2]
        # A server that has not been told its own address leaves it out.
        return _server(self._url, _host((host or b"").decode() or urlsplit(asked).hostname, port))


def _layout(ranges: Iterable[tuple[int, int, str]]) -> Layout:
    servers: list[str] = []
    owners = [-1] * REDIS_CLUSTER_HASH_SLOTS
    for first, last, server in ranges:
        if server not in servers:
            servers.append(server)
        owners[first : last + 1] = [servers.index(server)] * (last + 1 - first)
    if -1 in owners:
        raise RedisConnectionError("some slots of the cluster are nobody's")
    return Layout(servers, owners)


async def _ask(servers: Iterable[str], *words: str) -> dict[str, Any]:
    """What each server says to a command, of those that answer within the client's time-outs."""

    async def ask(url: str) -> Any:
        async with client(url, retries=0) as redis:
            return await redis.execute_command(*words)  # type: ignore[no-untyped-call]  # untyped in redis-py

    asked = tuple(servers)
    said = await asyncio.gather(*map(ask, asked), return_exceptions=True)
    answers = dict(zip(asked, said, strict=True))
    good = {url: one for url, one in answers.items() if not isinstance(one, BaseException)}
    if not good:
        raise RedisConnectionError(f"nobody knows where Redis is: {said[0]}")
    return good


def _hosts(url: SplitResult, port: int) -> list[str]:
    hosts = url.netloc.rpartition("@")[2].split(",")
    return [host if ":" in host else _host(host, port) for host in hosts]


def _host(host: str | None, port: int) -> str:
    return f"[{host}]:{port}" if host and ":" in host else f"{host}:{port}"


def _server(url: SplitResult, host: str, *, database: str = "", sign_on: str | None = None) -> str:
    """The URL of one server of a deployment."""
    if sign_on is None:
        sign_on = "".join(url.netloc.rpartition("@")[:2])
    return url._replace(
        scheme=url.scheme.partition("+")[0], netloc=sign_on + host, path=f"/{database}", fragment=""
    ).geturl()
