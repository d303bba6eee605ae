"""Counting: exact, refused where it would not be, and never of another type."""

from math import isfinite
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vwed.v1.cache_service_pb2 import IncrementDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache, DataCacheType

from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument, Violation
from vwed_grpc.domain.increment import check_delta, incremented

LEAST, GREATEST = -(2**63), 2**63 - 1
LARGEST = 1.7976931348623157e308
int64 = st.integers(LEAST, GREATEST)
doubles = st.floats(allow_nan=False, allow_infinity=False)


def request(**given_: Any) -> IncrementDataCacheRequest:
    return IncrementDataCacheRequest(task_record_id="r", key="k", **given_)


@example(GREATEST - 1, 1)
@example(LEAST + 1, -1)
@given(int64, int64)
def test_integers_add_exactly_or_not_at_all(start: int, delta: int) -> None:
    for entry, asked in (
        (DataCache(int_value=start), request(int_delta=delta)),
        (None, request(int_delta=delta, initial=start)),
    ):
        if LEAST <= start + delta <= GREATEST:
            assert incremented(entry, asked).int_value == start + delta
        else:
            with pytest.raises(FailedPrecondition) as raised:
                incremented(entry, asked)
            assert (raised.value.reason, raised.value.metadata) == ("OVERFLOW", {"key": "k"})


@given(doubles, doubles)
def test_doubles_add_as_long_as_they_are_finite(start: float, delta: float) -> None:
    entry, asked = DataCache(double_value=start), request(double_delta=delta)
    if isfinite(start + delta):
        assert incremented(entry, asked).double_value == start + delta
    else:
        with pytest.raises(FailedPrecondition, match="overflow"):
            incremented(entry, asked)


@pytest.mark.parametrize("start", [LARGEST, float("inf"), float("nan")])
def test_a_sum_that_is_no_number_is_refused(start: float) -> None:
    with pytest.raises(FailedPrecondition):
        incremented(DataCache(double_value=start), request(double_delta=LARGEST))


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        ({"int_delta": 2}, {"int_value": 2}),
        ({"int_delta": 2, "initial": 40}, {"int_value": 42}),
        ({"double_delta": 0.5}, {"double_value": 0.5}),
        ({"double_delta": 0.5, "initial": 2}, {"double_value": 2.5}),
        ({"double_delta": 0.5, "double_initial": 0.25}, {"double_value": 0.75}),
    ],
)
def test_what_an_absent_key_starts_from(asked: dict[str, Any], value: dict[str, Any]) -> None:
    entry = incremented(None, request(**asked))
    kind = f"DATA_CACHE_TYPE_{next(iter(value)).upper()}"
    assert entry == DataCache(task_record_id="r", key="k", type=DataCacheType.Value(kind), **value)


@pytest.mark.parametrize(
    "entry",
    [DataCache(string_value="1"), DataCache(double_value=1), DataCache(bool_value=True)],
)
def test_another_type_is_refused(entry: DataCache) -> None:
    with pytest.raises(FailedPrecondition) as raised:
        incremented(entry, request(int_delta=1))
    assert (raised.value.reason, raised.value.metadata) == ("WRONG_TYPE", {"key": "k"})
    held = entry.WhichOneof("value")
    assert raised.value.message == f"the entry holds {held}, the increment is for int_value"


def test_the_expiration_stays() -> None:
    entry = DataCache(int_value=1)
    entry.expire_time.seconds = 9
    assert incremented(entry, request(int_delta=1)).expire_time.seconds == 9


def test_what_cannot_be_asked() -> None:
    wrong = {"int_delta": 1, "double_initial": 1}
    for asked, field, problem in (
        ({}, "int_delta", "or double_delta is required"),
        (wrong, "double_initial", "goes with double_delta alone"),
    ):
        with pytest.raises(InvalidArgument) as raised:
            check_delta(request(**asked))
        assert raised.value.violations == (Violation(field, problem),)
    check_delta(request(int_delta=0))
    check_delta(request(double_delta=0, initial=1))
