"""What is published in Redis is heard only if this service published it on that very channel."""

from collections.abc import Callable

import pytest
from redis.asyncio import Redis
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from tests.integration.watching.test_watch_delivery import replica
from tests.support.feeding import feeding
from tests.support.metrics_page import figures, free_address
from tests.support.steps import block, report, running, sql
from tests.support.waiting import until_true
from tests.support.watching import watching
from vwed.client import Client
from vwed_grpc.cache.seal import Seal
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.settings import Settings
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.watching.news import ORIGIN_BYTES, News, pack


def forged(run: str, seq: int) -> bytes:
    """What a server publishes of a run with such an event, but for its seal."""
    event = TaskRecordEvent(task_record_id=run, seq=seq, actor="nobody")
    packed = Event(seq, seq, Kind.BLOCK, event.SerializeToString(), None)
    return pack(b"x" * ORIGIN_BYTES, [News(run, seq, [packed])])


PUBLISHED: dict[str, Callable[[Seal, str, bytes], bytes]] = {
    "without a seal": lambda _seal, _channel, news: news,
    "of another channel": lambda seal, channel, news: seal.sealed(f"{channel}2", news),
    "of another database": lambda _seal, channel, news: Seal(b"another").sealed(channel, news),
    "with one bit changed": lambda seal, channel, news: (
        seal.sealed(channel, news[:-1] + b"\0")[:-1] + news[-1:]
    ),
    "cut": lambda seal, channel, news: seal.sealed(channel, news)[:-7],
    "cut within its seal": lambda seal, channel, news: seal.sealed(channel, news)[:9],
    "nothing that could be read": lambda _seal, _channel, _news: b"x" * 40,
    "nothing": lambda _seal, _channel, _news: b"",
}
OURS: Callable[[Seal, str, bytes], bytes] = Seal.sealed


@pytest.mark.parametrize("make", [OURS, *PUBLISHED.values()], ids=["ours", *PUBLISHED])
async def test_what_is_not_ours_is_not_told(
    settings: Settings,
    client: Client,
    redis_url: str,
    redis: Redis,
    tenant: str,
    make: Callable[[Seal, str, bytes], bytes],
) -> None:
    """The false event comes before the true one, by the same way."""
    assert settings.database_url
    (secret,) = await sql(settings.database_url, "SELECT key FROM seal_keys")
    run = (await running(client)).id
    page = free_address()
    own = settings.model_copy(update={"metrics_listen": page})
    async with replica(own, tenant, redis_url) as other:
        seq = (await report(client, run, block("a", RUNNING))).seqs[0]
        async with watching(other, run) as one, feeding(other, include_blocks=True) as many:
            await one.reach(seq)

            async def channels() -> list[bytes]:
                return await redis.execute_command("PUBSUB", "SHARDCHANNELS", f"vwed:*{tenant}*")  # type: ignore[no-untyped-call,no-any-return]  # redis-py has no types for it

            (name,) = await until_true(channels, what="the tenant's channel")
            channel = name.decode()
            message = make(Seal(secret.key), channel, forged(run, seq + 1))
            assert await redis.execute_command("SPUBLISH", channel, message)  # type: ignore[no-untyped-call]  # the same
            true = (await report(client, run, block("b", RUNNING))).seqs[0]
            await one.reach(true)
            await many.reach(run, true)
            told = {event.actor for event in (*one.changes, *many.changes[run])}
            assert ("nobody" in told) == (make is OURS)
            assert (await figures(page))["vwed_foreign_wakeups_total"] == (make is not OURS)
