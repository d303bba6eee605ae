"""Looks at keys in Redis, many in one command: what a look costs is the command, not the key."""

from collections.abc import Sequence
from typing import TypeAlias

from vwed_grpc.batching import Asked, Batcher
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.wire import RedisAway

AT_ONCE = 16
"""Keys in one command: the answer is one, so all of it must come within the time-out of the wire
and is handed out in one round of the loop, however large the values are."""

Held: TypeAlias = bytes | None


def batched_gets(redis: RedisClient) -> Batcher[int, str, Held]:
    """A lane a slot, that answers a key with what stands under it, as it is after it was asked for.

    A value of a foreign type looks like nothing at all. Raise `RedisAway`.
    """

    async def look(_: int, asked: list[Asked[str, Held]]) -> Sequence[Held]:
        if not redis.trusted:  # any more: it was when they asked
            raise RedisAway(redis.state)
        keys = list(dict.fromkeys(one.question for one in asked))
        held = dict(zip(keys, await redis.ask(keys[0], "MGET", *keys), strict=True))
        return [held[one.question] for one in asked]

    return Batcher(look, most=AT_ONCE)
