"""Who gets a place, who waits for one, and who is refused."""

import asyncio

import pytest

from tests.support.waiting import until_true
from vwed_grpc.domain.errors import ResourceExhausted
from vwed_grpc.rpc import places as module
from vwed_grpc.rpc.places import Places


def places(limit: int, queue: int = 10, patience: float = 60.0) -> Places:
    return Places(limit, "TOO_MANY", "calls", queue=queue, patience=patience)


def take(of: Places, tenant: str) -> int:
    """As many as the tenant gets at once."""
    taken = 0
    while of.try_enter(tenant):
        taken += 1
    return taken


async def test_a_tenant_alone_has_all() -> None:
    assert take(places(10), "a") == 10


async def test_while_another_asks_it_has_half() -> None:
    of = places(10)
    assert of.try_enter("b")
    assert take(of, "a") == 5
    assert of.refusal("a").metadata == {"limit": "5", "scope": "tenant"}
    assert take(of, "b") == 4


async def test_many_tenants_share_what_there_is() -> None:
    of = places(6)
    assert [of.try_enter(tenant) for tenant in "abcdefg"] == [True] * 6 + [False]


async def test_who_asked_lately_still_counts_and_then_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = places(10)
    assert of.try_enter("b")
    of.leave("b")
    assert take(of, "a") == 5
    monkeypatch.setattr(module, "RECENT_SECONDS", 0.0)
    of.try_enter("a")  # the present period ends
    of._period_ends = 0.0
    assert take(of, "a") >= 4


async def test_a_place_that_is_left_goes_to_the_tenant_that_has_less() -> None:
    of = places(4)
    assert take(of, "a") == 4
    order = list[str]()

    async def wait(tenant: str) -> None:
        await of.enter(tenant)
        order.append(tenant)

    waiting = [asyncio.create_task(wait(tenant)) for tenant in "aabb"]
    await asyncio.sleep(0)
    of.leave("a")
    of.leave("a")
    await until_true(lambda: len(order) == 2)
    assert order == ["b", "b"]
    of.leave("a")
    of.leave("a")
    await asyncio.gather(*waiting)


async def test_waiting_tenants_take_turns_and_their_calls_keep_their_order() -> None:
    of = places(2)
    for tenant in "xy":
        assert of.try_enter(tenant)
    order = list[str]()

    async def wait(name: str) -> None:
        await of.enter(name[0])
        order.append(name)
        of.leave(name[0])

    waiting = [asyncio.create_task(wait(name)) for name in ("a1", "a2", "a3", "b1", "c1")]
    await asyncio.sleep(0)
    of.leave("x")
    await asyncio.gather(*waiting)
    assert order.index("b1") < order.index("a2")
    assert order.index("c1") < order.index("a2")
    assert [name for name in order if name[0] == "a"] == ["a1", "a2", "a3"]


async def test_a_full_queue_refuses_and_says_which_limit() -> None:
    of = places(1, queue=2)
    assert of.try_enter("a")
    waiting = asyncio.create_task(of.enter("a"))
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted) as refused:
        await of.enter("a")  # half of the queue is a tenant's
    assert refused.value.reason == "TOO_MANY"
    assert refused.value.metadata == {"limit": "1", "scope": "process"}
    assert refused.value.retry_after
    other = asyncio.create_task(of.enter("b"))
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted):
        await of.enter("c")
    of.leave("a")
    await waiting
    of.leave("a")
    await other


async def test_who_waits_too_long_is_refused() -> None:
    of = places(1, patience=0.0)
    assert of.try_enter("a")
    with pytest.raises(ResourceExhausted):
        await of.enter("b")
    of.leave("a")
    assert take(of, "b") == 1


async def test_who_leaves_the_queue_leaves_no_trace() -> None:
    of = places(1)
    assert of.try_enter("a")
    gone, granted = (asyncio.create_task(of.enter("b")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    of.leave("a")  # to the other: `gone` does not know yet that it is
    granted.cancel()  # at the same time as it gets its place
    await asyncio.gather(gone, granted, return_exceptions=True)
    assert gone.cancelled()
    assert granted.cancelled()
    assert take(of, "b") == 1


async def test_sizes_add_up() -> None:
    of = places(100)
    assert of.try_enter("a", 60)
    assert not of.try_enter("a", 41)
    assert not of.try_enter("b", 51)  # more than its half
    assert of.try_enter("b", 40)
    of.leave("a", 60)
    of.leave("b", 40)
    assert of.try_enter("a", 50)
