"""Who looks at the same time shares a command, and gets the answer to his own key."""

import asyncio

import pytest

from vwed_grpc.cache.batched_gets import AT_ONCE, batched_gets
from vwed_grpc.cache.breaker import BreakerState
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.wire import RedisAway


class Redis(RedisClient):
    """Holds under each key its name in capitals, but for some; notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(None)
        self._breaker.to(BreakerState.HALF_OPEN, 0)
        self._breaker.to(BreakerState.CLOSED, 0)
        self.asked: list[tuple[bytes | str | int, ...]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def ask(
        self,
        key: str,  # noqa: ARG002 - as Redis is asked
        *words: bytes | str | int,
        once: bool = False,  # noqa: ARG002 - likewise
    ) -> list[bytes | None]:
        self.asked.append(words)
        await self.go_on.wait()
        if "away" in words:
            raise RedisAway
        return [None if word == "none" else str(word).upper().encode() for word in words[1:]]

    def leaves(self) -> None:
        self._breaker.to(BreakerState.OPEN, 0)


@pytest.fixture
def redis() -> Redis:
    return Redis()


async def test_all_leave_as_one_command_and_a_key_stands_there_once(redis: Redis) -> None:
    lane = batched_gets(redis)
    keys = ["a", "none", "b", "a", "a", "none"]
    held = await asyncio.gather(*(lane.ask(0, key) for key in keys))
    assert held == [b"A", None, b"B", b"A", b"A", None]
    assert redis.asked == [("MGET", "a", "none", "b")]


async def test_many_go_in_turns(redis: Redis) -> None:
    lane = batched_gets(redis)
    keys = [str(n) for n in range(2 * AT_ONCE + 1)]
    assert await asyncio.gather(*(lane.ask(0, key) for key in keys)) == [
        key.encode() for key in keys
    ]
    assert [len(words) - 1 for words in redis.asked] == [AT_ONCE, AT_ONCE, 1]


async def test_who_leaves_does_not_take_the_others_along(redis: Redis) -> None:
    lane = batched_gets(redis)
    redis.go_on.clear()
    leaving, staying = (asyncio.create_task(lane.ask(0, key)) for key in ("a", "b"))
    while not redis.asked:  # noqa: ASYNC110 - some rounds of the loop
        await asyncio.sleep(0)
    leaving.cancel()
    redis.go_on.set()
    assert await staying == b"B"


async def test_a_redis_that_is_away_is_so_for_all_and_not_for_ever(redis: Redis) -> None:
    lane = batched_gets(redis)
    answers = await asyncio.gather(
        *(lane.ask(0, key) for key in ("a", "away")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [RedisAway] * 2
    assert await lane.ask(0, "a") == b"A"


async def test_who_waited_while_redis_left_does_not_look(redis: Redis) -> None:
    """What comes back may be old until the kept invalidations are replayed."""
    lane = batched_gets(redis)
    redis.go_on.clear()
    first = asyncio.create_task(lane.ask(0, "a"))
    while not redis.asked:  # noqa: ASYNC110 - some rounds of the loop
        await asyncio.sleep(0)
    second = asyncio.create_task(lane.ask(0, "b"))
    await asyncio.sleep(0)
    redis.leaves()
    redis.go_on.set()
    assert await first == b"A"
    with pytest.raises(RedisAway):
        await second
    assert len(redis.asked) == 1
