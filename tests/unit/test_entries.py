"""What a caller gives to become an entry, and what is refused of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from vwed.v1.cache_service_pb2 import (
    BatchSetDataCacheRequest,
    SetDataCacheRequest,
    TouchDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache, DataCacheType

from vwed_grpc.domain.entries import (
    LONGEST,
    NOTHING,
    check_batch,
    end_of,
    expire_time,
    put_of,
    replaceable,
    ttl,
)
from vwed_grpc.domain.errors import InvalidArgument, Violation

INT = DataCacheType.DATA_CACHE_TYPE_INT_VALUE
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
IN_TIME = "must be within the next 366 days"
VALUES: dict[str, Any] = {
    "string_value": "",
    "int_value": 0,
    "double_value": 0.0,
    "bool_value": False,
    "bytes_value": b"",
    "time_value": Timestamp(),
}


def at(when: datetime) -> SetDataCacheRequest:
    request = SetDataCacheRequest(data_cache=DataCache(key="k", int_value=1))
    request.expire_time.FromDatetime(when)
    return request


def for_(lifetime: Duration) -> SetDataCacheRequest:
    return SetDataCacheRequest(data_cache=DataCache(key="k", int_value=1), ttl=lifetime)


@pytest.mark.parametrize("which", [*VALUES, "json_value"])
def test_the_type_is_that_of_the_value_even_if_it_is_empty(which: str) -> None:
    given_ = DataCache(task_record_id="r", key="k")
    if which == "json_value":
        given_.json_value.null_value = 0  # type: ignore[assignment]  # an enum's number
    elif which == "time_value":
        given_.time_value.SetInParent()
    else:
        setattr(given_, which, VALUES[which])
    entry = put_of(SetDataCacheRequest(data_cache=given_), NOW).entry
    assert entry.WhichOneof("value") == which
    assert DataCacheType.Name(entry.type) == f"DATA_CACHE_TYPE_{which.upper()}"


def test_what_the_store_sets_is_not_taken_from_the_caller() -> None:
    given_ = DataCache(task_record_id="r", key="k", int_value=1, id="x", version=9)
    given_.type = DataCacheType.DATA_CACHE_TYPE_JSON_VALUE
    given_.create_time.FromDatetime(NOW)
    given_.expire_time.FromDatetime(NOW)
    entry = put_of(SetDataCacheRequest(data_cache=given_), NOW).entry
    assert entry == DataCache(task_record_id="r", key="k", int_value=1, type=INT)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_exact(value: int) -> None:
    request = SetDataCacheRequest(data_cache=DataCache(key="k", int_value=value))
    assert put_of(request, NOW).entry.int_value == value


@pytest.mark.parametrize(
    ("request_", "field", "problem"),
    [
        (SetDataCacheRequest(data_cache=DataCache(key="k")), "data_cache.value", "is required"),
        (at(NOW), "expire_time", IN_TIME),
        (for_(Duration(nanos=999)), "ttl", "must be at least 1 microsecond"),
    ],
)
def test_what_is_refused_is_named_by_its_path(
    request_: SetDataCacheRequest, field: str, problem: str
) -> None:
    for path in ([], ["requests[3]."]):
        with pytest.raises(InvalidArgument) as raised:
            put_of(request_, NOW, *path)
        assert raised.value.violations == (Violation("".join(path) + field, problem),)


def test_a_put_says_what_the_store_is_to_do() -> None:
    request = for_(Duration(seconds=60))
    request.if_version = 7
    asked = put_of(request, NOW, "requests[3].")
    assert (asked.ttl, asked.replaceable) == (timedelta(minutes=1), 7)
    too_late = Violation("requests[3].expire_time", IN_TIME)
    assert asked.too_late().violations == (too_late,)


def test_unset_an_entry_never_expires() -> None:
    request = SetDataCacheRequest(data_cache=DataCache(key="k", int_value=1))
    asked = put_of(request, NOW)
    assert (end_of(asked.entry), asked.ttl) == (None, None)


def test_a_ttl_is_cut_to_microseconds() -> None:
    request = TouchDataCacheRequest(ttl=Duration(seconds=1, nanos=500_000_999))
    assert ttl(request) == timedelta(seconds=1.5)
    with pytest.raises(InvalidArgument) as raised:
        ttl(TouchDataCacheRequest(ttl=Duration(nanos=999)))
    assert [v.field for v in raised.value.violations] == ["ttl"]


@pytest.mark.parametrize("ahead", [timedelta(microseconds=1), LONGEST])
def test_an_expire_time_within_366_days_is_taken(ahead: timedelta) -> None:
    assert end_of(put_of(at(NOW + ahead), NOW).entry) == NOW + ahead


@pytest.mark.parametrize(
    "ahead", [timedelta(0), -timedelta(days=1), LONGEST + timedelta(microseconds=1)]
)
def test_another_expire_time_is_refused(ahead: timedelta) -> None:
    with pytest.raises(InvalidArgument) as raised:
        expire_time(at(NOW + ahead), NOW)
    assert [v.field for v in raised.value.violations] == ["expire_time"]


@pytest.mark.parametrize(
    ("precondition", "version"),
    [
        ({}, None),
        ({"if_absent": True}, NOTHING),
        ({"if_absent": False}, None),
        ({"if_version": 7}, 7),
    ],
)
def test_what_a_set_may_replace(precondition: dict[str, Any], version: int | None) -> None:
    assert replaceable(SetDataCacheRequest(**precondition)) == version


@pytest.mark.parametrize("version", [0, -1, -(2**63)])
def test_no_entry_has_such_a_version(version: int) -> None:
    asked = replaceable(SetDataCacheRequest(if_version=version))
    assert asked is not None
    assert asked < NOTHING


def test_all_that_is_wrong_with_a_batch_is_said_at_once() -> None:
    def one(run: str, key: str, **value: Any) -> SetDataCacheRequest:
        return SetDataCacheRequest(data_cache=DataCache(task_record_id=run, key=key, **value))

    requests = [one("r", "a", int_value=1), one("", "b", int_value=1), one("x", "a"), one("r", "c")]
    with pytest.raises(InvalidArgument) as raised:
        check_batch(BatchSetDataCacheRequest(task_record_id="r", requests=requests))
    assert raised.value.violations == (
        Violation("requests[2].data_cache.task_record_id", "is another run's"),
        Violation("requests[2].data_cache.key", "stands in the batch before"),
        Violation("requests[2].data_cache.value", "is required"),
        Violation("requests[3].data_cache.value", "is required"),
    )
    check_batch(BatchSetDataCacheRequest(task_record_id="r", requests=requests[:2]))
