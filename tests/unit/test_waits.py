"""Calls that last: whose are ended when another tenant needs room."""

import asyncio

import pytest

from vwed_grpc.domain.errors import ResourceExhausted
from vwed_grpc.rpc.waits import OpenCall, Waits


def opened(tenant: str) -> OpenCall:
    return OpenCall(asyncio.create_task(asyncio.Event().wait()), tenant)


def fill(waits: Waits, tenant: str, count: int, connection: str = "x") -> list[OpenCall]:
    calls = [opened(tenant) for _ in range(count)]
    for call in calls:
        waits.enter(call, connection)
    return calls


def refusal_of(waits: Waits, tenant: str, connection: str = "x") -> dict[str, str]:
    with pytest.raises(ResourceExhausted) as refused:
        waits.enter(opened(tenant), connection)
    return refused.value.metadata


def waits(limit: int = 4, of_connection: int = 100) -> Waits:
    return Waits(limit, of_connection, "TOO_MANY_WAITS", "calls that wait")


async def test_a_tenant_alone_has_all() -> None:
    some = waits()
    fill(some, "a", 4)
    assert refusal_of(some, "a") == {"limit": "2", "scope": "tenant"}


async def test_the_newest_of_who_has_more_than_half_make_room() -> None:
    some = waits()
    calls = fill(some, "a", 4)
    fill(some, "b", 2)
    assert [call.ended is not None for call in calls] == [False, False, True, True]
    ended = calls[3].ended
    assert isinstance(ended, ResourceExhausted)
    assert ended.reason == "TOO_MANY_WAITS"
    assert refusal_of(some, "b")["scope"] == "tenant"
    assert refusal_of(some, "c")["scope"] == "process"


async def test_a_connection_has_a_limit() -> None:
    some = waits(of_connection=2)
    first, _ = fill(some, "a", 2)
    assert refusal_of(some, "a") == {"limit": "2", "scope": "connection"}
    fill(some, "a", 1, "y")
    some.leave(first)
    some.leave(first)  # once is enough
    fill(some, "a", 1)


async def test_all_are_ended_with_what_they_are_told() -> None:
    some = waits()
    calls = fill(some, "a", 1) + fill(some, "b", 1)
    why = ResourceExhausted("WHY", "because")
    some.end_all(why)
    assert [call.ended for call in calls] == [why, why]
