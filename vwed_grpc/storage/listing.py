"""Keyset paging: one way to read any list, page by page, in any documented order."""

from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from vwed_grpc.domain.errors import ResourceExhausted
from vwed_grpc.domain.ordering import OrderTerm
from vwed_grpc.loop.turns import Turns
from vwed_grpc.storage.codecs import moment
from vwed_grpc.storage.pool import Pool, ReadingPool
from vwed_grpc.storage.shapes import Shapes


class Item(Protocol):
    """A message, or what is made of a row around one."""

    def ByteSize(self) -> int: ...  # noqa: N802 - as messages call it


M = TypeVar("M", bound=Item)
Position = tuple[Any, ...]
"""The order columns' values of the last row of a page."""
Place = Sequence[sa.BindParameter[Any] | None]
"""A position in a statement; None where it is unset."""

MAX_ANSWER_BYTES = 4 << 20
"""Every client's default limit."""
MAX_PAGE_BYTES = 3 << 20
"""A page ends early here: every client's default limit is 4 MiB."""
_SHAPES = Shapes()


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some items in the order that was asked for."""

    items: list[M]
    next_position: Position | None
    """Of the last item; None: there are no more."""


@dataclass(frozen=True)
class Listing(Generic[M]):
    """What can be listed: from where, how rows become messages, what only full views carry."""

    source: sa.FromClause
    columns: Sequence[sa.ColumnElement[Any]]
    """What the basic view needs."""
    payload: Sequence[sa.ColumnElement[Any]]
    """What the full view adds; may be large, so it is read for the items of a page alone."""
    identity: sa.ColumnElement[Any]
    """Names a row among those that one call can list."""
    orders: Mapping[str, sa.ColumnElement[Any]]
    """Field of order_by -> what it orders by."""
    reader: Callable[[tuple[str, ...]], Callable[[sa.Row[Any]], M]]
    """What makes messages of a result's rows, given the names of its columns; as in `rows`."""
    unset: frozenset[str] = frozenset()
    """Fields of order_by that may be unset: such rows come last in both directions."""
    asked: Sequence[sa.ColumnElement[Any]] = ()
    """What of a request a listing has in itself; other values must not be in its statements."""

    async def page(
        self,
        pool: ReadingPool,
        where: Sequence[sa.ColumnElement[bool]],
        order: Sequence[OrderTerm],
        *,
        size: int,
        position: Position | None = None,
        full: bool = False,
        alternatives: Sequence[sa.ColumnElement[bool]] = (),
    ) -> Page[M]:
        """At most `size` items of what `where` leaves; at most MAX_PAGE_BYTES unless one item.

        `alternatives`, if given, are ORed with each other and exclude each other; each is read in
        order by an index of its own, and merged: an OR over them would read all and sort.
        """
        limit, place = sa.literal(size + 1), self._place(order, position)
        values = [value for value in place or () if value is not None]
        statement, parameters = _SHAPES.bound(
            (
                *self._kind(),
                *order,
                full,
                len(where),
                place and tuple(value is None for value in place),
            ),
            [*where, *alternatives, *self.asked, limit, *values],
            lambda: self.first_rows(
                where, order, limit, place=place, weighed=full, alternatives=alternatives
            ),
        )
        rows = await pool.fetch(statement, parameters)
        items: list[M] = []
        room = MAX_PAGE_BYTES
        async for row, item in self._read(rows[:size]):
            room -= item.ByteSize() + (row.weight or 0 if full else 0)
            if room < 0 and items:
                break
            items.append(item)
        more = len(items) < len(rows)
        if full and items:
            items = await self._full(pool, where, rows[: len(items)])
        last = rows[len(items) - 1] if items else None
        return Page(
            items=items,
            next_position=self._position(last, order) if more and last else None,
        )

    async def total(
        self,
        pool: Pool,
        where: Sequence[sa.ColumnElement[bool]],
        alternatives: Sequence[sa.ColumnElement[bool]] = (),
    ) -> int:
        """How many items all pages have together."""
        return await self._count(pool, [*where, sa.or_(*alternatives)] if alternatives else where)

    async def batch(
        self,
        pool: ReadingPool,
        where: Sequence[sa.ColumnElement[bool]],
        wanted: Sequence[Any],
        *,
        full: bool,
    ) -> dict[Any, M]:
        """Those of `wanted` that there are, by identity.

        Raises ResourceExhausted RESPONSE_TOO_LARGE before it reads what no answer can hold.
        """
        among = self._among(wanted)
        if full:
            weight = await pool.select(
                sa.select(sa.func.sum(self._weight())).select_from(self.source).where(*where, among)
            )
            if (weight[0][0] or 0) > MAX_ANSWER_BYTES:
                raise ResourceExhausted(
                    "RESPONSE_TOO_LARGE", "the answer is above 4 MiB: ask for fewer"
                )
        return await self._messages(await self._rows(pool, [*where, among], full=full))

    async def _rows(
        self, pool: ReadingPool, where: Sequence[sa.ColumnElement[bool]], *, full: bool
    ) -> Sequence[sa.Row[Any]]:
        """All that `where` leaves."""
        columns = [*self.columns, *(self.payload if full else ())]
        statement, parameters = _SHAPES.bound(
            (*self._kind(), full),
            where,
            lambda: sa.select(*columns).select_from(self.source).where(*where),
        )
        return await pool.fetch(statement, parameters)

    def _kind(self) -> tuple[Hashable, ...]:
        """What sets the statements of this listing apart from those of others."""
        return (type(self), self.source, *self.columns)

    def _position(self, last: sa.Row[Any], order: Sequence[OrderTerm]) -> Position:
        keys = [(self.orders[t.field], last._mapping[f"key_{i}"]) for i, t in enumerate(order)]
        return tuple(
            moment(key) if key is not None and isinstance(column.type, sa.DateTime) else key
            for column, key in keys
        )

    def _place(self, order: Sequence[OrderTerm], position: Position | None) -> Place | None:
        if position is None:
            return None
        return [
            # Not even a forged token is a fault of ours: PostgreSQL compares 64 bits with 32 bits.
            None
            if value is None
            else sa.literal(
                value,
                sa.BigInteger() if isinstance(value, int) else self.orders[term.field].type,
            )
            for term, value in zip(order, position, strict=True)
        ]

    async def _messages(self, rows: Sequence[sa.Row[Any]]) -> dict[Any, M]:
        """By identity."""
        messages: dict[Any, M] = {}
        async for row, item in self._read(rows):
            messages[row._mapping[self.identity.name]] = item
        return messages

    async def _read(self, rows: Sequence[sa.Row[Any]]) -> AsyncIterator[tuple[sa.Row[Any], M]]:
        """Each row with its message, made when it is asked for.

        A thousand, or megabytes, take tens of ms, so the event loop gets its turns.
        """
        if not rows:
            return
        read = self.reader(tuple(rows[0]._fields))
        turns = Turns()
        for row in rows:
            yield row, read(row)
            await turns.next()

    def _among(self, wanted: Sequence[Any]) -> sa.ColumnElement[bool]:
        return self.identity == sa.any_(sa.literal(list(wanted), ARRAY(self.identity.type)))

    def _weight(self) -> sa.ColumnElement[int]:
        """Bytes of a row's payload."""
        nothing: sa.ColumnElement[int] = sa.literal_column("0", sa.Integer)
        lengths = (sa.func.coalesce(sa.func.octet_length(c), nothing) for c in self.payload)
        return sum(lengths, nothing)

    def first_rows(
        self,
        where: Sequence[sa.ColumnElement[bool]],
        order: Sequence[OrderTerm],
        limit: sa.BindParameter[int],
        *,
        place: Place | None,
        weighed: bool,
        alternatives: Sequence[sa.ColumnElement[bool]],
    ) -> sa.Select[Any]:
        """The rows after `place`, with what orders them as `key_0`, `key_1`, ….

        With `weighed`, `weight` has the bytes of each row's payload.
        """
        base = (
            sa.select(*self.columns, *self._keys(order), *self._weights(weighed=weighed))
            .select_from(self.source)
            .where(*where, *self._after(order, place))
        )
        if len(alternatives) > 1:
            return self._merged(base, alternatives, order, limit)
        ordered = base.where(*alternatives).order_by(*(self._ordered(term) for term in order))
        return ordered.limit(limit)

    def _keys(self, order: Sequence[OrderTerm]) -> list[sa.ColumnElement[Any]]:
        return [self.orders[term.field].label(f"key_{i}") for i, term in enumerate(order)]

    def _in_order(
        self, rows: sa.FromClause, order: Sequence[OrderTerm]
    ) -> list[sa.ColumnElement[Any]]:
        """The order of rows that have `_keys` among their columns."""
        return [_direction(rows.c[f"key_{i}"], t, self.unset) for i, t in enumerate(order)]

    def _weights(self, *, weighed: bool) -> list[sa.ColumnElement[int]]:
        return [self._weight().label("weight")] if weighed else []

    def _merged(
        self,
        base: sa.Select[Any],
        alternatives: Sequence[sa.ColumnElement[bool]],
        order: Sequence[OrderTerm],
        limit: sa.BindParameter[int],
    ) -> sa.Select[Any]:
        """The first rows of each way, put in order together."""
        firsts = [
            base.where(way)
            .order_by(*(self._ordered(term) for term in order))
            .limit(limit)
            .subquery()
            .select()
            for way in alternatives
        ]
        union = sa.union_all(*firsts).subquery()
        return sa.select(union).order_by(*self._in_order(union, order)).limit(limit)

    async def _full(
        self,
        pool: ReadingPool,
        where: Sequence[sa.ColumnElement[bool]],
        rows: Sequence[sa.Row[Any]],
    ) -> list[M]:
        """The same rows with their payload, read again: some may be gone meanwhile."""
        wanted = [row._mapping[self.identity.name] for row in rows]
        found = await self._rows(pool, [*where, self._among(wanted)], full=True)
        messages = await self._messages(found)
        return [messages[key] for key in wanted if key in messages]

    async def _count(self, pool: Pool, where: Sequence[sa.ColumnElement[bool]]) -> int:
        rows = await pool.select(sa.select(sa.func.count()).select_from(self.source).where(*where))
        return int(rows[0][0])

    def _ordered(self, term: OrderTerm) -> sa.ColumnElement[Any]:
        return _direction(self.orders[term.field], term, self.unset)

    def _after(
        self, order: Sequence[OrderTerm], place: Place | None
    ) -> list[sa.ColumnElement[bool]]:
        """What comes after `place`: greater in the first column that differs."""
        if place is None:
            return []
        alternatives: list[sa.ColumnElement[bool]] = []
        equal: sa.ColumnElement[bool] = sa.true()
        for term, value in zip(order, place, strict=True):
            column = self.orders[term.field]
            if value is not None:
                beyond = column < value if term.descending else column > value
                if term.field in self.unset:
                    beyond |= column.is_(None)
                alternatives.append(sa.and_(equal, beyond))
            equal = sa.and_(
                equal, column.is_not_distinct_from(value) if value is None else column == value
            )
        # The bound on the first column alone lets an index be entered where the page begins.
        first, value = self.orders[order[0].field], place[0]
        bound: sa.ColumnElement[bool]
        if value is None:
            bound = first.is_(None)
        else:
            bound = first <= value if order[0].descending else first >= value
            if order[0].field in self.unset:
                bound |= first.is_(None)
        return [bound, sa.or_(sa.false(), *alternatives)]


def _direction(
    column: sa.ColumnElement[Any], term: OrderTerm, unset: frozenset[str]
) -> sa.ColumnElement[Any]:
    if not term.descending:
        return column.asc()  # PostgreSQL puts unset values last by itself
    return column.desc().nulls_last() if term.field in unset else column.desc()
