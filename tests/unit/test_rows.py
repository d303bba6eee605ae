"""Times are the same to the microsecond, whichever kind of connection read them."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from vwed_grpc.storage import codecs, rows

TIMES = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2000, 1, 1, tzinfo=UTC),
    datetime(2026, 11, 27, 12, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]


@pytest.mark.parametrize("time", TIMES)
def test_a_time_of_either_kind(time: datetime) -> None:
    (number,) = codecs._microseconds(time)
    assert codecs.moment(number) == time
    one, other = Timestamp(), Timestamp()
    rows.put_time(one, time)
    rows.put_time(other, number)
    assert one == other
    assert rows.moment(one) == time
