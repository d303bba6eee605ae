"""Reads by key, many in one statement: with many callers each costs a tenth of one alone."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa

from vwed_grpc.batching import Asked, Batcher
from vwed_grpc.storage.statement import Statement

AT_ONCE = 32
"""Keys in one statement: an answer may have a megabyte, and all of them are there at once."""

Key: TypeAlias = tuple[str, ...]
Found: TypeAlias = sa.Row[Any] | None
Fetch: TypeAlias = Callable[[Statement, Mapping[str, Any]], Awaitable[Sequence[sa.Row[Any]]]]


class ByKey(Statement):
    """Reads what `one` selects of a key, for each of the given keys, a tenant's (`:tenant`).

    The keys come as one array for each of the columns, under its name; so does the key to `one`.
    """

    def __init__(
        self, one: Callable[[sa.FromClause], sa.Select[Any]], *key: sa.Column[str]
    ) -> None:
        texts = sa.ARRAY(key[0].type)
        given = (
            sa.func.unnest(*(sa.bindparam(column.name, type_=texts) for column in key))
            .table_valued(*(sa.column(column.name, column.type) for column in key), name="given")
            .render_derived()
        )
        # With OFFSET each key is looked up by itself, by index, whatever the statistics say; a
        # join may read all rows of the tenant instead.
        found = one(given).offset(0).lateral("found")
        super().__init__(sa.select(found).select_from(given.join(found, sa.true())))
        self.key = tuple(column.name for column in key)


def reader(fetch: Fetch) -> Batcher[tuple[ByKey, str], Key, Found]:
    """Answers a key of a (statement, tenant) with its row, as it is after it was asked for.

    Raises what `fetch` raises.
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

    return Batcher(read, most=AT_ONCE)
