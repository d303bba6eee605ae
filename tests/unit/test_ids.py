"""Ids are UUIDv7 as RFC 9562 lays them out, and within the contract's pattern."""

import re
import time
from uuid import RFC_4122, UUID

import pytest
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.domain.errors import Aborted, InvalidArgument
from vwed_grpc.domain.ids import check_etag, new_etag, new_id, require_id


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


def test_an_etag_that_is_given_is_the_present_one() -> None:
    run = TaskRecord(id="a", etag="new")
    for good in ("", "new"):
        check_etag("task_record", run, good)
    with pytest.raises(Aborted) as refused:
        check_etag("task_record", run, "old")
    assert (refused.value.reason, refused.value.metadata) == ("ETAG_MISMATCH", {"etag": "new"})
    assert refused.value.message == "task_record a has changed"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a", ""),
        ("0._:-Z", ""),
        ("x" * 128, ""),
        ("", "is required"),
        ("x" * 129, "must be at most 128 characters"),
        ("-a", "must be at most 128 characters"),
        ("a b", "must be at most 128 characters"),
        ("a\n", "must be at most 128 characters"),
    ],
)
def test_what_an_id_looks_like(text: str, problem: str) -> None:
    if not problem:
        require_id(text, "task_def.id")
        return
    with pytest.raises(InvalidArgument) as refused:
        require_id(text, "task_def.id")
    [violation] = refused.value.violations
    assert violation.field == "task_def.id"
    assert violation.description.startswith(problem)
