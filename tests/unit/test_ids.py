"""Ids are UUIDv7 as RFC 9562 lays them out, and within the contract's pattern."""

import re
import time
from uuid import RFC_4122, UUID

from vwed_grpc.domain.ids import new_etag, new_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    for _ in range(1000):
        text = new_id()
        parsed = UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (7, RFC_4122, text)
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", text)


def test_an_id_begins_with_the_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    made = UUID(new_id()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_every_random_bit_is_used() -> None:
    seen_set = seen_clear = 0
    for _ in range(1000):
        value = UUID(new_id()).int
        seen_set |= value
        seen_clear |= ~value
    random = (1 << 80) - 1 & ~(0xF << 76 | 0b11 << 62)
    assert seen_set & seen_clear & random == random


def test_ids_and_etags_do_not_repeat() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000
    assert len({new_etag() for _ in range(10_000)}) == 10_000


def test_an_etag_is_short_and_plain() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{12}", new_etag())
