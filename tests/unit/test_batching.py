"""What is asked for at the same time is done together, and each is answered by itself."""

import asyncio
from collections.abc import Sequence

import pytest

from vwed_grpc.batching import Again, Asked, Batcher


class Desk:
    """Answers a number with its square; what it was asked together, it notes."""

    def __init__(self) -> None:
        self.together: list[list[int]] = []
        self.under_way = self.most_under_way = 0
        self.again: set[int] = set()
        self.at_work = asyncio.Event()

    async def __call__(self, _: str, asked: list[Asked[int, int]]) -> Sequence[int | Exception]:
        self.at_work.set()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.together.append([one.question for one in asked])
        await asyncio.sleep(0.01)
        self.under_way -= 1
        if any(one.question == 13 for one in asked):
            raise LookupError("13")
        return [self._one(one.question) for one in asked]

    def _one(self, number: int) -> int | Exception:
        if number in self.again:
            self.again.remove(number)
            return Again()
        return number**2 if number >= 0 else ValueError(number)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def lanes(desk: Desk, *, most: int = 100, at_once: int = 0) -> Batcher[str, int, int]:
    return Batcher(desk, most=most, weigh=lambda number: max(abs(number), 1), at_once=at_once)


async def test_who_comes_alone_is_served_alone(desk: Desk) -> None:
    asked = lanes(desk)
    assert await asked.ask("a", 3) == 9
    assert await asked.ask("a", 4) == 16
    assert desk.together == [[3], [4]]


async def test_what_comes_meanwhile_is_next_in_its_order(desk: Desk) -> None:
    asked = lanes(desk)
    first = asyncio.create_task(asked.ask("a", 1))
    await desk.at_work.wait()
    assert await asyncio.gather(*(asked.ask("a", n) for n in (2, 3, 4))) == [4, 9, 16]
    assert await first == 1
    assert desk.together == [[1], [2, 3, 4]]


async def test_what_is_too_much_for_once_is_done_in_turns(desk: Desk) -> None:
    asked = lanes(desk, most=10)
    answers = await asyncio.gather(*(asked.ask("a", n) for n in (4, 5, 6, 40, 1)))
    assert answers == [16, 25, 36, 1600, 1]
    assert desk.together == [[4, 5, 6], [40], [1]]


async def test_each_is_refused_by_itself(desk: Desk) -> None:
    asked = lanes(desk)
    answers = await asyncio.gather(*(asked.ask("a", n) for n in (2, -1, 3)), return_exceptions=True)
    assert answers[::2] == [4, 9]
    assert isinstance(answers[1], ValueError)


async def test_a_failure_of_the_work_is_everybodys(desk: Desk) -> None:
    asked = lanes(desk)
    answers = await asyncio.gather(*(asked.ask("a", n) for n in (2, 13)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError] * 2
    assert await asked.ask("a", 2) == 4


async def test_what_could_not_be_done_comes_again_behind_the_others(desk: Desk) -> None:
    asked, desk.again = lanes(desk, most=5), {2}
    assert await asyncio.gather(*(asked.ask("a", n) for n in (2, 3, 4))) == [4, 9, 16]
    assert desk.together == [[2, 3], [4, 2]]


async def test_who_has_left_is_not_asked_for(desk: Desk) -> None:
    asked = lanes(desk)
    first = asyncio.create_task(asked.ask("a", 1))
    await desk.at_work.wait()
    leaving, staying = (asyncio.create_task(asked.ask("a", n)) for n in (2, 3))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 9
    assert await first == 1
    assert desk.together == [[1], [3]]


async def test_lanes_do_not_wait_for_each_other_but_for_a_turn(desk: Desk) -> None:
    await asyncio.gather(*(lanes(desk).ask(str(n), n) for n in range(5)))
    assert desk.most_under_way == 5
    desk.most_under_way, asked = 0, lanes(desk, at_once=2)
    await asyncio.gather(*(asked.ask(str(n), n) for n in range(5)))
    assert desk.most_under_way == 2
