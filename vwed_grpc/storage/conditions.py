"""Conditions that filters of several lists have in common."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY


def one_of(column: sa.Column[Any], values: Sequence[Any]) -> list[sa.ColumnElement[bool]]:
    """The column has one of the values; no values, no condition."""
    if len(values) > 1:
        return [column == sa.any_(sa.literal(list(values), ARRAY(column.type)))]
    return [column == value for value in values]
