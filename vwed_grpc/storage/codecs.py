"""What single reads make of PostgreSQL's values: as little as an answer needs.

A datetime costs the driver more than any other column, and an answer only takes it apart again; so
connections for single reads give times as the numbers that PostgreSQL sends. The connections of
transactions are SQLAlchemy's and keep its types.
"""

import json
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import asyncpg

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
EPOCH_SECONDS = int(_EPOCH.timestamp())
"""Where PostgreSQL's times begin, in seconds of a Timestamp."""
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_decode = json.JSONDecoder().raw_decode  # `loads` looks for spaces first, at twice the cost


async def set_codecs(reader: asyncpg.Connection) -> None:
    """Times are microseconds from 2000 on, JSON is objects."""
    await reader.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=_microseconds,
        decoder=itemgetter(0),
    )
    await reader.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=str,  # what is given has been encoded by its statement
        decoder=_json,
    )


def moment(microseconds: int) -> datetime:
    """The time that a single read gave."""
    return _EPOCH + within_years(microseconds) * _MICROSECOND


def within_years(microseconds: int) -> int:
    """The time, within the years 1 to 9999: PostgreSQL's ±infinity are the ends of 64 bits."""
    return min(max(microseconds, _FIRST), _LAST)


def _microseconds(value: datetime) -> tuple[int]:
    return ((value - _EPOCH) // _MICROSECOND,)


def _json(text: str) -> Any:
    return _decode(text)[0]
