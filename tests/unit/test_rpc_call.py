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
        ("x-vwed-actor-bin", "陈".encode() * 129),
        ("x-vwed-actor-bin", b"a\0b"),
        ("x-vwed-actor-bin", "陈\n静".encode()),
        ("x-vwed-actor-bin", "a\x85b".encode()),
        ("x-vwed-actor-bin", "a\u2028b".encode()),
        ("x-vwed-actor-bin", b"\xe9"),  # Latin-1
        ("x-vwed-actor-bin", b"\xed\xa0\x80"),  # a surrogate
        ("x-vwed-actor-bin", b"\xc0\x80"),  # U+0000, overlong
        ("x-vwed-consistency", "eventual"),
        ("x-vwed-consistency", ""),
    ],
)
def test_refused_by_key(key: str, value: str | bytes) -> None:
    call, problems = open_call(((key, value),), None)
    assert [problem.field for problem in problems] == [key]
    assert call.request_id


@pytest.mark.parametrize("key", ["x-vwed-tenant", "x-vwed-actor", "x-vwed-actor-bin"])
def test_two_tenants_or_actors_are_none(key: str) -> None:
    _, problems = open_call(((key, "a"), (key, "b")), None)
    assert [problem.field for problem in problems] == [key]


@pytest.mark.parametrize(
    "name",
    ["陈静", "José", "山田\u3000太郎", "स\u200dत", "🤖" * 128, "operator Chen", "\ufffd"],
    ids=ascii,
)
def test_a_name_in_any_script_wins(name: str) -> None:
    sent: dict[str, str | bytes] = {"x-vwed-actor-bin": name.encode(), "x-vwed-actor": "chen"}
    for keys in (["x-vwed-actor-bin"], [*sent], [*reversed(sent)]):
        call, problems = open_call([(key, sent[key]) for key in keys], None)
        assert (call.actor, problems) == (name, [])


@pytest.mark.parametrize("value", ["", "a" * 129, "a\tb", "é"])
def test_unusable_request_id_is_replaced(value: str) -> None:
    call, problems = open_call((("x-request-id", value),), None)
    assert problems == []
    assert len(call.request_id) == 36
