"""Statements that never change: compiled once, and run by the driver alone.

SQLAlchemy's own execution costs two to four times what the driver does for a short statement. What
runs with every call or commit is therefore built at import, once, and goes to asyncpg as it is.
Lists, which are put together for a request, are built once for each shape (`storage.shapes`); other
statements with filters go the ordinary way.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # a dialect's constructor is untyped


DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what is left of a connection that was cut at a bad moment
)


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
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._encode = {
            name: encode
            for bind, name in self.binds.items()
            if (encode := bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)) is not None
        }

    async def run(
        self, connection: asyncpg.Connection, parameters: Mapping[str, Any]
    ) -> Sequence[Any]:
        """The rows that it answers. Raises DBAPIError, as the ordinary way does."""
        with self._errors():
            rows: Sequence[Any] = await connection.fetch(
                self.sql, *self._arguments(parameters), record_class=Row
            )
        return rows

    async def run_each(
        self, connection: asyncpg.Connection, parameters: Sequence[Mapping[str, Any]]
    ) -> None:
        """Once for each, without a round trip for each. Raises DBAPIError."""
        with self._errors():
            await connection.executemany(self.sql, [self._arguments(each) for each in parameters])

    def _arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        values = {**self._fixed, **parameters}
        for name, encode in self._encode.items():
            values[name] = encode(values[name])
        return [values[name] for name in self._names]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DRIVER_ERRORS as exc:
            raise DBAPIError(self.sql, None, exc) from exc
