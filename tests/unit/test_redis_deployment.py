"""What the URLs of Redis name, and how keys are put together for its commands."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError
from redis.crc import key_slot
from redis.exceptions import RedisError

from vwed_grpc.cache import deployment as module
from vwed_grpc.cache.deployment import Layout, deployed
from vwed_grpc.settings import Settings

SENTINELS = "redis+sentinel://a:1,b:2/vwed"
CLUSTER = "rediss+cluster://robot:p%40ss@a:1,b"


@pytest.mark.parametrize(
    "url",
    [
        "none",
        "redis://a",
        "rediss://robot:p%40ss@a:1/2?ssl_ca_certs=/ca.pem",
        "unix:///tmp/redis",
        SENTINELS,
        SENTINELS.replace("redis", "rediss", 1),
        CLUSTER,
        CLUSTER.replace("rediss", "redis"),
    ],
)
def test_urls_that_are_taken(url: str) -> None:
    assert Settings(redis_url=url).redis_url == url
    if url != "none":
        deployed(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://a", "redis+x://a", "unix+cluster://a", "sentinel://a", "+redis://a"),
        *("redis://a:b", "redis://[::1", "redis+cluster://a:1,b:c", "redis+sentinel://a:1:2/name"),
    ],
)
def test_others_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(redis_url=url.replace("://", "://robot:secret@"))
    assert "secret" not in str(refused.value.errors(include_input=False))


@pytest.mark.parametrize("sign", "/?#")
@pytest.mark.parametrize("url", ["redis://a/1", CLUSTER, SENTINELS])
def test_a_password_that_is_not_escaped_is_no_port(url: str, sign: str) -> None:
    """Who reads the URL later would tell of it: it is no number."""
    with pytest.raises(ValidationError, match="%2F") as refused:
        Settings(redis_url=url.replace("://", f"://robot:secret{sign}x@"))
    assert "secret" not in str(refused.value.errors(include_input=False))


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("redis+sentinel://127.9.9.9/vwed", "127.9.9.9:26379"),
        ("redis+cluster://127.9.9.9", "127.9.9.9:6379"),
        ("redis+cluster://127.9.9.9:1", "127.9.9.9:1"),
    ],
)
async def test_a_port_is_the_usual_one_unless_it_is_given(url: str, asked: str) -> None:
    with pytest.raises(RedisError, match=rf"nobody knows .* {asked}"):
        await deployed(url).layout()


class Said:
    """What servers answer to the question where everything is; those that are not here are away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.answers: dict[str, Any] = answers
        self.asked: list[str] = []
        monkeypatch.setattr(module, "_ask", self._ask)

    async def _ask(self, servers: Iterable[str], *_: str) -> dict[str, Any]:
        self.asked = sorted(servers)
        by_host = {str(urlsplit(server).hostname): server for server in self.asked}
        return {by_host[host]: said for host, said in self.answers.items() if host in by_host}


async def test_where_a_cluster_s_slots_are_is_what_most_of_its_servers_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, last = (b"a", 1, b"id-a"), (b"b", 6379, b"id-b")
    replica = (b"c", 7, b"id-c")
    half = 8191
    usual = [[half + 1, 16383, last], [0, half, first, replica]]
    outdated = [[0, 16383, replica]]
    nameless = [[0, half, (b"", 1, b"id-a"), replica], [half + 1, 16383, last]]
    said = Said(monkeypatch, a=nameless, b=usual)
    cluster = deployed(CLUSTER)
    servers = [f"rediss://robot:p%40ss@{host}/" for host in ("a:1", "b:6379", "c:7")]
    layout = await cluster.layout()
    assert said.asked == servers[:2]
    assert layout.servers == servers[:2]
    assert [layout.owners[slot] for slot in (0, half, half + 1, 16383)] == [0, 0, 1, 1]
    said.answers = {"c": outdated, "a": usual, "b": usual}
    assert await cluster.layout() == layout
    assert said.asked == servers  # those that it told of are asked as well
    said.answers["b"] = [[0, half, first]]
    del said.answers["a"], said.answers["c"]
    with pytest.raises(RedisError, match="nobody's"):
        await cluster.layout()


async def test_the_primary_is_who_the_sentinels_chose_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(ip: bytes, epoch: bytes) -> list[bytes]:
        return [b"name", b"vwed", b"ip", ip, b"port", b"7", b"config-epoch", epoch]

    said = Said(monkeypatch, a=told(b"old", b"9"), b=told(b"new", b"10"), c=told(b"old", b"9"))
    sentinels = deployed(
        "redis+sentinel://robot:p%40ss@a:1,b,c/vwed/3?socket_timeout=1&sentinel_password=an%2Fother"
    )
    assert (await sentinels.layout()).servers == ("redis://robot:p%40ss@new:7/3?socket_timeout=1",)
    own = [
        f"redis://:an%2Fother@{host}/?socket_timeout=1" for host in ("a:1", "b:26379", "c:26379")
    ]
    assert said.asked == own
    said.answers = {"a": told(b"::1", b"9")}
    assert (await sentinels.layout()).servers == (
        "redis://robot:p%40ss@[::1]:7/3?socket_timeout=1",
    )


async def test_one_server_is_its_url() -> None:
    single = deployed("redis://a:1/2")
    assert single.stays
    assert await single.layout() == Layout(("redis://a:1/2",), (0,))
    assert list(single.in_commands(str(n) for n in range(2500)))[2] == [
        str(n) for n in range(2000, 2500)
    ]


def test_in_a_cluster_a_command_has_keys_of_one_slot() -> None:
    cluster = deployed(CLUSTER)
    keys = [f"{{tenant-{n % 3}}}:{n}" for n in range(30)]
    commands = list(cluster.in_commands(keys))
    assert sorted(key for some in commands for key in some) == sorted(keys)
    assert [len({key_slot(key.encode()) for key in some}) for some in commands] == [1, 1, 1]


def test_a_name_is_found_for_each_server() -> None:
    cluster = deployed(CLUSTER)
    layout = Layout(("x", "y"), [0] * 100 + [1] * (16384 - 100))
    names = [cluster.name_at(server, layout, "vwed:probe") for server in (0, 1)]
    assert [layout.owners[cluster.slot(name)] for name in names] == [0, 1]
