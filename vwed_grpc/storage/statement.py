"""Statements that never change: compiled once, and run by the driver alone.

SQLAlchemy's own execution costs two to four times what the driver does for a short statement. What
runs with every call or commit is therefore built at import, once, and goes to asyncpg as it is.
Lists, which are put together for a request, are built once for each shape (`storage.shapes`); other
statements with filters go the ordinary way.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError

from vwed_grpc.storage.errors import DRIVER_ERRORS
from vwed_grpc.telemetry.tracing import step

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # a dialect's constructor is untyped


class Row(asyncpg.Record):  # type: ignore[misc]  # asyncpg ships no types
    """A row as SQLAlchemy's rows are read: by attribute, in order, or by its columns' names."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def _fields(self) -> Iterator[str]:
        names: Iterator[str] = self.keys()
        return names

    @property
    def _mapping(self) -> "Row":
        return self


class Statement:
    """One SQL text, and the order in which it takes its parameters."""

    def __init__(self, statement: sa.Executable | str) -> None:
        """`statement` is complete but for its bind parameters; as text it has them as `:name`."""
        clause = sa.text(statement) if isinstance(statement, str) else statement
        compiled = clause.compile(dialect=_DIALECT)  # type: ignore[attr-defined]  # every clause can
        self.sql = str(compiled)
        self.binds: Mapping[sa.BindParameter[Any], str] = compiled.bind_names
        """The values in `statement`, and their names."""
        self._names: Sequence[str] = compiled.positiontup
        self._fixed: Mapping[str, Any] = {
            name: value for name, value in compiled.params.items() if value is not None
        }
        self._encode = {
            name: encode
            for bind, name in self.binds.items()
            if (encode := bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)) is not None
        }

    async def run(
        self, connection: asyncpg.Connection, parameters: Mapping[str, Any]
    ) -> Sequence[Any]:
        """The rows that it answers. Raises DBAPIError, as the ordinary way does."""
        with _errors(self.sql):
            rows: Sequence[Any] = await connection.fetch(
                self.sql, *self.arguments(parameters), record_class=Row
            )
        return rows

    async def run_each(
        self, connection: asyncpg.Connection, parameters: Sequence[Mapping[str, Any]]
    ) -> None:
        """Once for each, without a round trip for each. Raises DBAPIError."""
        with _errors(self.sql):
            await connection.executemany(self.sql, [self.arguments(each) for each in parameters])

    def forget_values(self) -> None:
        """Those it was built with: it is kept for others, which may be as large."""
        self.binds, self._fixed = {}, {}

    @property
    def width(self) -> int:
        """How many parameters it takes."""
        return len(self._names)

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The parameters, encoded and in order."""
        values = {**self._fixed, **parameters}
        for name, encode in self._encode.items():
            values[name] = encode(values[name])
        return [values[name] for name in self._names]


class Together:
    """Statements that write different tables, as one: what would be round trips is one.

    Each sees what was there before all of them.
    """

    def __init__(self, *statements: Statement) -> None:
        self._statements = statements
        texts: list[str] = []
        taken = 0
        for statement in statements:
            texts.append(_moved(statement.sql, taken))
            taken += statement.width
        *firsts, last = texts
        self.sql = f"WITH {', '.join(f's{n} AS ({t})' for n, t in enumerate(firsts))} {last}"

    async def run(
        self, connection: asyncpg.Connection, parameters: Sequence[Mapping[str, Any]]
    ) -> None:
        """With the parameters of each, in the same order. Raises DBAPIError."""
        each = zip(self._statements, parameters, strict=True)
        arguments = [value for statement, given in each for value in statement.arguments(given)]
        with _errors(self.sql):
            await connection.fetch(self.sql, *arguments)


def _moved(sql: str, places: int) -> str:
    return re.sub(r"\$(\d+)", lambda number: f"${int(number[1]) + places}", sql)


async def command(connection: asyncpg.Connection, sql: str) -> str:
    """What PostgreSQL says it did, for a command without parameters or rows. Raises DBAPIError."""
    with _errors(sql):
        done: str = await connection.execute(sql)
    return done


@contextmanager
def _errors(sql: str) -> Iterator[None]:
    try:
        with step("postgresql", sql):
            yield
    except DRIVER_ERRORS as exc:
        raise DBAPIError(sql, None, exc) from exc
