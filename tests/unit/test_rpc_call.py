import asyncio

import pytest

from vwed_grpc.rpc.call import open_call


async def test_defaults() -> None:
    call, problems = open_call((("user-agent", "grpc-python"),), None)
    assert problems == []
    assert (call.tenant, call.actor, call.strong, call.deadline) == ("default", "", False, None)
    assert len(call.request_id) == 36
    assert call.remaining() is None


async def test_taken_from_metadata() -> None:
    metadata = (
        ("x-vwed-tenant", "site-1"),
        ("x-vwed-actor", "operator Chen"),
        ("x-request-id", "order 7/2"),
        ("x-vwed-consistency", "strong"),
    )
    call, problems = open_call(metadata, 5.0)
    assert problems == []
    assert (call.tenant, call.actor, call.request_id) == ("site-1", "operator Chen", "order 7/2")
    assert call.strong
    left = call.remaining()
    assert left is not None
    assert 4.9 < left <= 5.0


async def test_remaining_is_never_negative() -> None:
    call, _ = open_call((), 0.0)
    await asyncio.sleep(0.001)
    assert call.remaining() == 0.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("x-vwed-tenant", ""),
        ("x-vwed-tenant", "-site"),
        ("x-vwed-tenant", "site 1"),
        ("x-vwed-tenant", "site\n"),
        ("x-vwed-tenant", "a" * 129),
        ("x-vwed-tenant", "場所"),
        ("x-vwed-actor", "a" * 129),
        ("x-vwed-actor", "a\0b"),
        ("x-vwed-actor", "é"),
        ("x-vwed-consistency", "eventual"),
        ("x-vwed-consistency", ""),
    ],
)
def test_refused_by_key(key: str, value: str) -> None:
    call, problems = open_call(((key, value),), None)
    assert [problem.field for problem in problems] == [key]
    assert call.request_id


def test_two_tenants_are_none() -> None:
    _, problems = open_call((("x-vwed-tenant", "a"), ("x-vwed-tenant", "b")), None)
    assert [problem.field for problem in problems] == ["x-vwed-tenant"]


@pytest.mark.parametrize("value", ["", "a" * 129, "a\tb", "é"])
def test_unusable_request_id_is_replaced(value: str) -> None:
    call, problems = open_call((("x-request-id", value),), None)
    assert problems == []
    assert len(call.request_id) == 36
