"""Reads by key share statements, as reports share commits.

What is asked for while a statement is under way gathers, and the next one reads it all: with many
callers a read costs a tenth of what it costs alone, and nobody waits for company.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa

from vwed_grpc.storage.statement import Statement

AT_ONCE = 32
"""Keys in one statement: an answer may have a megabyte, and all of them are there at once."""

Key: TypeAlias = tuple[str, ...]
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
    wanted = sa.select(*given.c)
    return (tenant == sa.bindparam("tenant")) & sa.tuple_(*key).in_(wanted)


class Gathering:
    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._lanes: dict[tuple[ByKey, str], list[tuple[Key, asyncio.Future[Any]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def row(self, statement: ByKey, tenant: str, key: Key) -> sa.Row[Any] | None:
        """The row under a key, as it is after this call began; None: there is none.

        Raises what `fetch` raises.
        """
        name = (statement, tenant)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = []
            task = asyncio.create_task(self._run(*name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        answer = asyncio.get_running_loop().create_future()
        lane.append((key, answer))
        found: sa.Row[Any] | None = await answer
        return found

    async def _run(self, statement: ByKey, tenant: str) -> None:
        lane = self._lanes[statement, tenant]
        while lane:
            wanted, lane[:AT_ONCE] = lane[:AT_ONCE], []
            columns = zip(*dict.fromkeys(key for key, _ in wanted), strict=True)
            parameters = {n: [*values] for n, values in zip(statement.key, columns, strict=True)}
            try:
                found = await self._fetch(statement, {"tenant": tenant, **parameters})
            except Exception as exc:  # noqa: BLE001 - each caller's edge maps it
                for _, answer in wanted:
                    if not answer.done():
                        answer.set_exception(exc)
                continue
            rows = {tuple(getattr(row, name) for name in statement.key): row for row in found}
            for key, answer in wanted:
                if not answer.done():
                    answer.set_result(rows.get(key))
        del self._lanes[statement, tenant]
