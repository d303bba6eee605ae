"""What is asked for at the same time is done together, and each is answered by itself."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.waiting import until_true
from vwed_grpc.batching import Again, Asked, Batcher, in_halves
from vwed_grpc.domain.errors import DeadlineExceeded, ResourceExhausted, Unavailable


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


async def test_what_could_not_be_done_comes_again_before_what_follows_it(desk: Desk) -> None:
    asked, desk.again = lanes(desk, most=5), {2}
    assert await asyncio.gather(*(asked.ask("a", n) for n in (2, 3, 4))) == [4, 9, 16]
    assert desk.together == [[2, 3], [2, 4]]


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


class Gated:
    """Answers each (ordering key, number) with itself, a piece of work when it is let through."""

    def __init__(self) -> None:
        self.pieces: list[list[tuple[str, int]]] = []
        self.gates: list[asyncio.Event] = []
        self.again: set[str] = set()
        """Ordering keys that cannot be answered now."""
        self.broken: dict[tuple[str, int], Exception] = {}

    async def __call__(
        self, _: str, asked: list[Asked[tuple[str, int], tuple[str, int]]]
    ) -> Sequence[tuple[str, int] | Exception]:
        questions = [one.question for one in asked]
        self.pieces.append(questions)
        self.gates.append(asyncio.Event())
        await self.gates[-1].wait()
        for question in questions:
            if question in self.broken:
                raise self.broken[question]
        return [Again() if question[0] in self.again else question for question in questions]

    def open(self) -> None:
        """Lets through what is under way, and all that comes."""
        for gate in self.gates:
            gate.set()
        self.gates = _Open()


class _Open(list[asyncio.Event]):
    """Gates that stand open."""

    def append(self, gate: asyncio.Event) -> None:
        gate.set()
        super().append(gate)


@pytest.fixture
def work() -> Gated:
    return Gated()


def ordered(
    work: Gated, *, most: int = 2, in_lane: int = 1, limit: int = 1_000
) -> Batcher[str, tuple[str, int], tuple[str, int]]:
    return Batcher(
        in_halves(work), most=most, ordering_key=lambda one: one[0], in_lane=in_lane, limit=limit
    )


async def rounds() -> None:
    """Lets all that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


Call = asyncio.Task[tuple[str, int]]


async def calls(
    asked: Batcher[str, tuple[str, int], tuple[str, int]], *questions: tuple[str, int]
) -> list[Call]:
    begun = [asyncio.create_task(asked.ask("lane", question)) for question in questions]
    await rounds()
    return begun


async def test_a_key_that_has_had_its_turn_goes_behind_the_others(work: Gated) -> None:
    asked = ordered(work)
    first = await calls(asked, ("z", 0))
    rest = await calls(asked, *(("a", n) for n in range(5)), ("b", 0), ("c", 0))
    work.open()
    await asyncio.gather(*first, *rest)
    a = [("a", n) for n in range(5)]
    assert work.pieces == [[("z", 0)], a[:2], [("b", 0), ("c", 0)], a[2:4], a[4:]]


async def test_a_key_that_rests_keeps_its_order_and_nobody_else_waiting(work: Gated) -> None:
    asked, work.again = ordered(work), {"a"}
    work.open()
    resting = await calls(asked, ("a", 0), ("a", 1), ("a", 2))
    others = await calls(asked, *(("b", n) for n in range(6)))
    await asyncio.gather(*others)
    assert not any(call.done() for call in resting)
    work.again = set()
    await asyncio.gather(*resting)
    last = [question for piece in work.pieces for question in piece if question[0] == "a"][-3:]
    assert last == [("a", 0), ("a", 1), ("a", 2)]


async def test_a_full_piece_goes_beside_the_first_with_other_keys(work: Gated) -> None:
    asked = ordered(work, in_lane=2)
    begun = await calls(asked, ("a", 0))
    begun += await calls(asked, ("a", 1), ("a", 2), ("a", 3))
    assert work.pieces == [[("a", 0)]]  # a key is in one piece at a time
    begun += await calls(asked, ("b", 0))
    assert work.pieces == [[("a", 0)], [("b", 0)]]
    begun += await calls(asked, ("c", 0), ("d", 0), ("e", 0))
    assert len(work.pieces) == 2
    work.open()
    assert [call.result() for call in begun if await call] == [
        *(("a", n) for n in range(4)),
        *((key, 0) for key in "bcde"),
    ]


async def test_less_than_a_full_piece_waits_for_the_first(work: Gated) -> None:
    asked = ordered(work, in_lane=2)
    begun = await calls(asked, ("a", 0))
    begun += await calls(asked, ("b", 0))
    assert work.pieces == [[("a", 0)]]
    work.open()
    await asyncio.gather(*begun)


async def test_a_failure_is_that_of_one_and_the_order_is_kept(work: Gated) -> None:
    """A key that cannot be answered with the first half may be free again for the second."""
    asked = ordered(work, most=8)
    first = await calls(asked, ("z", 0))
    begun = await calls(asked, ("a", 0), ("a", 1), ("a", 2), ("b", 0))
    work.broken = {("b", 0): LookupError()}
    work.again = {"a"}
    work.gates[0].set()
    await until_true(lambda: len(work.pieces) == 2)
    work.gates[1].set()
    await until_true(lambda: len(work.pieces) == 3)
    work.gates[2].set()  # [a0, a1] come again
    await until_true(lambda: len(work.pieces) == 4)
    work.again = set()  # whoever changed it is done
    work.open()
    outcomes = await asyncio.gather(*first, *begun, return_exceptions=True)
    assert [type(one) for one in outcomes] == [tuple] * 4 + [LookupError]
    assert work.pieces[3] == [("b", 0)]  # without a2
    assert work.pieces[-1] == [("a", 0), ("a", 1), ("a", 2)]


async def test_what_nobody_is_at_fault_for_is_not_tried_again(work: Gated) -> None:
    asked = ordered(work, most=8)
    work.broken = {("b", 0): Unavailable("AWAY", "away")}
    first = await calls(asked, ("z", 0))
    rest = await calls(asked, ("a", 0), ("b", 0), ("c", 0))
    work.open()
    outcomes = await asyncio.gather(*first, *rest, return_exceptions=True)
    assert [type(one) for one in outcomes[1:]] == [Unavailable] * 3
    assert len(work.pieces) == 2


async def test_who_finds_no_room_waits_for_it(work: Gated) -> None:
    asked = ordered(work, limit=3)
    begun = await calls(asked, *((key, 0) for key in "abc"))
    late = await calls(asked, ("d", 0), ("e", 0))
    elsewhere = asyncio.create_task(asked.ask("other lane", ("a", 0)))
    await rounds()
    assert [("a", 0)] in work.pieces[1:]  # another lane has its own
    work.open()
    await asyncio.gather(*begun, *late, elsewhere)


async def test_who_finds_no_room_in_time_is_refused_before_its_end(work: Gated) -> None:
    asked = ordered(work, limit=3)
    begun = await calls(asked, *((key, 0) for key in "abc"))
    with pytest.raises(ResourceExhausted) as refused:
        await asked.ask("lane", ("d", 0), 0.05)
    assert refused.value.reason == "QUEUE_FULL"
    assert refused.value.metadata == {"limit": "3", "scope": "tenant"}
    assert refused.value.retry_after
    work.open()
    await asyncio.gather(*begun)
    assert ("d", 0) not in [question for piece in work.pieces for question in piece]


async def test_what_is_late_is_told_so_and_not_done(work: Gated) -> None:
    asked = ordered(work)
    begun = await calls(asked, ("a", 0))
    late = await asked.submit("lane", ("b", 0), 0.01)
    await asyncio.sleep(0.02)
    work.open()
    with pytest.raises(DeadlineExceeded):
        await late
    await asyncio.gather(*begun)
    assert work.pieces == [[("a", 0)]]


async def test_what_callers_leave_behind_counts_until_it_is_dropped(work: Gated) -> None:
    asked = ordered(work, limit=4)
    begun = await calls(asked, ("a", 0))
    leaving = await calls(asked, ("b", 0), ("c", 0))
    begun += await calls(asked, ("d", 0))
    for call in leaving:
        call.cancel()
    begun += await calls(asked, ("e", 0))
    work.gates[0].set()
    await until_true(lambda: len(work.pieces) == 2)
    assert work.pieces[1][0] == ("d", 0)
    answers = [await asked.submit("lane", ("f", n)) for n in range(2)]  # there is room for them
    work.open()
    await asyncio.gather(*begun, *answers)
    assert work.pieces[0] == [("a", 0)]


async def test_a_lane_that_is_done_leaves_nothing_behind(work: Gated) -> None:
    asked, work.again = ordered(work), {"a"}
    work.open()
    begun = await calls(asked, ("a", 0), ("b", 0))
    await begun[1]
    work.again = set()
    await begun[0]
    await rounds()
    assert not asked._lanes
    assert not asked._tasks
