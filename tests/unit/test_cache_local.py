"""Versions kept in the process stay within their bytes."""

from hypothesis import given
from hypothesis import strategies as st

from vwed_grpc.cache.local import LocalVersions, _cost


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 900)), max_size=40))
def test_it_never_holds_more_than_its_bytes(puts: list[tuple[str, int]]) -> None:
    local = LocalVersions(2_000)
    for key, size in puts:
        local.put(key, b"x" * size)
        held = {key: value for key in "abcdefgh" if (value := local.get(key)) is not None}
        assert sum(_cost(*entry) for entry in held.items()) == local._bytes <= 2_000


def test_the_least_recently_used_goes_first() -> None:
    local = LocalVersions(3 * _cost("a", b"1"))
    for key in "abc":
        local.put(key, b"1")
    assert local.get("a") == b"1"
    local.put("d", b"1")
    assert [local.get(key) for key in "abcd"] == [b"1", None, b"1", b"1"]


def test_nothing_is_told_while_the_database_may_be_another() -> None:
    is_confirmed = True
    local = LocalVersions(1_000, lambda: is_confirmed)
    local.put("a", b"1")
    is_confirmed = False
    assert local.get("a") is None
    is_confirmed = True
    assert local.get("a") == b"1"


def test_what_is_larger_than_everything_is_not_kept() -> None:
    local = LocalVersions(1_000)
    local.put("small", b"1")
    local.put("large", b"x" * 1_000)
    assert (local.get("large"), local.get("small")) == (None, b"1")
