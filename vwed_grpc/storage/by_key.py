"""Reads by key, many in one statement: with many callers each costs a tenth of one alone."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa

from vwed_grpc.storage.lanes import Asked, Lanes
from vwed_grpc.storage.statement import Statement

AT_ONCE = 32
"""Keys in one statement: an answer may have a megabyte, and all of them are there at once."""

Key: TypeAlias = tuple[str, ...]
Found: TypeAlias = sa.Row[Any] | None
Fetch: TypeAlias = Callable[[Statement, Mapping[str, Any]], Awaitable[Sequence[sa.Row[Any]]]]


class ByKey(Statement):
    """Reads the rows of one tenant (`:tenant`) whose `key` columns are among the given keys.

    The keys come as one array for each column, which the statement has as `:COLUMN`.
    """

    def __init__(self, statement: sa.Executable, key: Sequence[str]) -> None:
        super().__init__(statement)
        self.key = tuple(key)


def among(tenant: sa.Column[str], *key: sa.Column[str]) -> sa.ColumnElement[bool]:
    """The condition of a `ByKey` on these columns; each key is looked up by index."""
    texts = sa.ARRAY(key[0].type)
    given = (
        sa.func.unnest(*(sa.bindparam(column.name, type_=texts) for column in key))
        .table_valued(*(sa.column(column.name, column.type) for column in key), name="given")
        .render_derived()
    )
    return (tenant == sa.bindparam("tenant")) & sa.tuple_(*key).in_(sa.select(*given.c))


def reader(fetch: Fetch) -> Lanes[tuple[ByKey, str], Key, Found]:
    """Lanes by (statement, tenant) that answer a key with its row, as it is after it was asked for.

    Raise what `fetch` raises.
    """

    async def read(
        lane: tuple[ByKey, str], asked: list[Asked[Key, Found]]
    ) -> Sequence[Found | Exception]:
        statement, tenant = lane
        columns = zip(*dict.fromkeys(one.question for one in asked), strict=True)
        keys = {name: [*values] for name, values in zip(statement.key, columns, strict=True)}
        rows = await fetch(statement, {"tenant": tenant, **keys})
        found = {tuple(getattr(row, name) for name in statement.key): row for row in rows}
        return [found.get(one.question) for one in asked]

    return Lanes(read, most=AT_ONCE)
