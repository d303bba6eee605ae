"""A database whose tables are divided by tenant, and which of the parts a statement goes to.

What reaches one part alone, a database that keeps each tenant on one of its nodes can send to that
node; PostgreSQL's own planner says which parts those are.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from asyncpg import Connection
from asyncpg.prepared_stmt import PreparedStatement

from tests.support.databases import migrated_database
from vwed_grpc.storage import models
from vwed_grpc.storage.database import sync_engine

OF_NO_TENANT = {"service_pulse", "timelines", "seal_keys"}
"""Of few rows, which every node can have a copy of."""
TABLES = sorted(models.Base.metadata.tables.keys() - OF_NO_TENANT)
_OTHERS = "others"

Rows = Iterable[Sequence[Any]]
"""The arguments of a statement, each time that it is sent."""


@contextmanager
def sharded_database(postgres_url: str, tenants: Sequence[str]) -> Iterator[str]:
    """The URL of one that has a part for each of the tenants, and one for all others."""
    with migrated_database(postgres_url) as url:
        engine = sync_engine(url)
        with engine.begin() as connection:
            for table in TABLES:
                connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO whole"))
                connection.execute(
                    sa.text(
                        f"CREATE TABLE {table} (LIKE whole INCLUDING ALL EXCLUDING STORAGE)"
                        " PARTITION BY LIST (tenant)"
                    )
                )
                connection.execute(sa.text("DROP TABLE whole"))
                for number, tenant in enumerate(tenants):
                    connection.execute(
                        sa.text(
                            f"CREATE TABLE {table}__{number} PARTITION OF {table}"
                            f" FOR VALUES IN ('{tenant}')"
                        )
                    )
                connection.execute(
                    sa.text(f"CREATE TABLE {table}__{_OTHERS} PARTITION OF {table} DEFAULT")
                )
        engine.dispose()
        yield url


@dataclass(frozen=True)
class Sent:
    """A statement with its arguments."""

    sql: str
    arguments: Sequence[Any]

    @property
    def asks_of_tenants(self) -> bool:
        # A name that stands as a text ('task_records'::regclass) is looked up, its table not read.
        return re.search(rf"\b({'|'.join(TABLES)})\b(?!')", self.sql) is not None


class Spy:
    """What the driver sends to a database, by transaction; a statement without one is one alone.

    Other servers of the process have their duties, at databases of their own.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        self.transactions: list[list[Sent]] = []
        self._database = sa.make_url(url).database
        self._open: dict[int, list[Sent]] = {}

        def told(owner: Any, name: str, rows: Callable[..., tuple[Any, str, Rows]]) -> None:
            original = getattr(owner, name)

            def sends(it: Any, *arguments: Any, **options: Any) -> Any:
                self._note(*rows(it, *arguments))
                return original(it, *arguments, **options)

            monkeypatch.setattr(owner, name, sends)

        told(Connection, "_execute", lambda it, sql, row, *_: (it, sql, [row]))
        told(Connection, "_executemany", lambda it, sql, rows, *_: (it, sql, rows))
        # With arguments it comes as `_execute` again.
        told(Connection, "execute", lambda it, sql, *row: (it, sql, [] if row else [()]))
        for name in ("fetch", "cursor"):
            told(PreparedStatement, name, lambda it, *row: (it._connection, it._query, [row]))
        told(
            PreparedStatement,
            "executemany",
            lambda it, rows: (it._connection, it._query, rows),
        )

    def _note(self, connection: Any, sql: str, rows: Rows) -> None:
        if connection._params.database != self._database:
            return
        verb = sql.split(maxsplit=1)[0].upper().rstrip(";")
        sent = [Sent(sql, [*row]) for row in rows]
        if verb == "BEGIN":
            self._open[id(connection)] = []
        elif verb in {"COMMIT", "ROLLBACK"}:
            self.transactions.append(self._open.pop(id(connection), []))
        elif (begun := self._open.get(id(connection))) is not None:
            begun += sent
        else:
            self.transactions += [[one] for one in sent]


class Router:
    """Asks PostgreSQL which tenants' parts a statement reads or changes."""

    def __init__(self, connection: Connection, tenants: Sequence[str]) -> None:
        self._connection = connection
        self._tenants = tenants

    async def tenants(self, sent: Sent) -> set[str]:
        """ "others" stands for all that have no part of their own."""
        plan = await self._connection.fetch(f"EXPLAIN (FORMAT JSON) {sent.sql}", *sent.arguments)
        parts = {name.partition("__")[2] for name in _relations(json.loads(plan[0][0]))} - {""}
        found = {_OTHERS if part == _OTHERS else self._tenants[int(part)] for part in parts}
        # A plan does not say which part new rows go to.
        return found | {tenant for tenant in self._tenants if tenant in _texts(sent.arguments)}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _relations(plan: Any) -> Iterator[str]:
    if isinstance(plan, list):
        for one in plan:
            yield from _relations(one)
    elif isinstance(plan, dict):
        if isinstance(name := plan.get("Relation Name"), str):
            yield name
        for value in plan.values():
            yield from _relations(value)
