"""Statements that are put together for a request: compiled once for each shape they can have.

Building and compiling a select costs more than to read what it selects, and most requests differ in
their values alone.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from vwed_grpc.storage.statement import Statement

_MOST_TEXT = 2 << 20
"""Characters of SQL that are kept; a shape has a few thousand and costs a few times as much."""


class Shapes:
    """Compiled statements by their shape."""

    def __init__(self) -> None:
        self._compiled: dict[Hashable, tuple[Statement, list[str]]] = {}
        self._text = 0

    def bound(
        self,
        kind: Hashable,
        parts: Sequence[sa.ColumnElement[Any]],
        build: Callable[[], sa.Select[Any]],
    ) -> tuple[Statement, Mapping[str, Any]]:
        """The statement that `build` makes of `parts`, and its parameters.

        It is built once for each `kind` and each shape of the parts: so all else that it depends on
        must be in `kind`, and every value in it must be one of the parts'. LookupError if one is
        not, for it would stay in the statement for all who come later.
        """
        # SQLAlchemy's own key of what a clause looks like but for its values.
        keys = [key for part in parts if (key := part._generate_cache_key()) is not None]
        if len(keys) < len(parts):
            raise LookupError("a part that SQLAlchemy has no key for")
        values = [value for key in keys for value in key.bindparams]
        shape = (kind, *(key.key for key in keys))
        if (made := self._compiled.get(shape)) is None:
            made = self._keep(shape, *_compiled(build(), values))
        statement, names = made
        return statement, {n: v.value for n, v in zip(names, values, strict=True)}

    def _keep(
        self, shape: Hashable, statement: Statement, names: list[str]
    ) -> tuple[Statement, list[str]]:
        self._text += len(statement.sql)
        if self._text > _MOST_TEXT:
            self._compiled.clear()
            self._text = len(statement.sql)
        self._compiled[shape] = statement, names
        return statement, names


def _compiled(
    built: sa.Select[Any], values: Sequence[sa.BindParameter[Any]]
) -> tuple[Statement, list[str]]:
    """The statement, and the name in it of each value."""
    statement = Statement(built)
    if strangers := set(statement.binds) - set(values):
        raise LookupError(f"values of no part: {[bind.value for bind in strangers]}")
    # What is given but not used is bound to no name of the statement's.
    names = [statement.binds.get(value, "") for value in values]
    statement.forget_values()
    return statement, names
