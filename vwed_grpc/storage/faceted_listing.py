"""Lists of definitions and templates: the facets first, then the rows of one page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.dialects.postgresql import ARRAY

from vwed_grpc.domain.ordering import OrderTerm
from vwed_grpc.storage.database import Database
from vwed_grpc.storage.listing import Listing, Position
from vwed_grpc.storage.tables import Text

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, kw_only=True)
class FacetedListing(Listing[M]):
    """Orders by the columns of `facets`; all else stands in `heads`, and the payload in `source`.

    A page costs what its rows cost: every facet asked for is an index range that is left after a
    page, whether the facet has ten members or all, and only then are the rows themselves read.
    """

    heads: sa.Table
    facets: sa.Table
    tenant: str
    read: Sequence[str]
    """An item stands under one of these, which no item has two of."""
    needed: Sequence[Sequence[str]]
    """And under one of each of these, which is looked up item by item."""
    name_contains: str

    def first_rows(
        self,
        where: Sequence[sa.ColumnElement[bool]],
        order: Sequence[OrderTerm],
        limit: int,
        *,
        position: Position | None,
        weighed: bool,
        ways: Sequence[sa.ColumnElement[bool]],  # noqa: ARG002 - the facets are the ways
    ) -> sa.Select[Any]:
        # No page ends where nothing can follow, but a forged token says so.
        ranges = [*self._ranges(order, position)] or [[sa.false()]]
        firsts = [self._first_of(range_, order, limit) for range_ in ranges]
        union = sa.union_all(*firsts).subquery()
        page = (
            sa.select(union).order_by(*self._in_order(union, order)).limit(limit).subquery("page")
        )
        keys = [page.c[f"key_{i}"] for i in range(len(order))]
        return (
            sa.select(*self.columns, *keys, *self._weights(weighed=weighed))
            .select_from(self.source if weighed else self.heads)
            .join(page, page.c.id == self.identity)
            .where(*where)
            .order_by(*self._in_order(page, order))
        )

    def _first_of(
        self, range_: Sequence[sa.ColumnElement[bool]], order: Sequence[OrderTerm], limit: int
    ) -> sa.Select[Any]:
        """The first rows of a range in each facet."""
        facet = each_of(self.read)
        c = self.facets.c
        members = (
            sa.select(c.id, *self._keys(order))
            .where(c.facet == facet.c.facet, *self._conditions(), *range_)
            .order_by(*(self._ordered(term) for term in order))
            .limit(limit)
            .lateral()
        )
        return sa.select(members).select_from(facet.join(members, sa.true()))

    def _conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        c = self.facets.c
        yield c.tenant == self.tenant
        for wanted in self.needed:
            other = self.facets.alias().c
            # EXISTS would be planned as a join, which may read all that have the other facet.
            has_one = sa.select(sa.true()).where(
                other.tenant == self.tenant, other.id == c.id, other.facet == any_of(wanted)
            )
            yield has_one.limit(1).scalar_subquery().is_(sa.true())
        if self.name_contains:
            yield c.name.contains(self.name_contains, autoescape=True)

    def _ranges(
        self, order: Sequence[OrderTerm], position: Position | None
    ) -> Iterator[list[sa.ColumnElement[bool]]]:
        """What comes after `position`, as ranges that an index in this order is entered at.

        One range for each column that may be the first to differ; an OR of them would be a filter,
        which reads all before the position.
        """
        if position is None:
            yield []
            return
        equal: list[sa.ColumnElement[bool]] = []
        for term, value in zip(order, position, strict=True):
            column = self.orders[term.field]
            if value is None:
                equal.append(column.is_(None))
                continue
            yield [*equal, column < value if term.descending else column > value]
            if term.field in self.unset:
                yield [*equal, column.is_(None)]
            equal.append(column == value)

    async def _count(self, database: Database, where: Sequence[sa.ColumnElement[bool]]) -> int:
        del where  # the facets say it all
        counted = sa.select(sa.func.count()).where(
            self.facets.c.facet == any_of(self.read), *self._conditions()
        )
        return int((await database.fetch(counted))[0][0])


def each_of(values: Sequence[str]) -> sa.TableValuedAlias:
    """The values as rows, in a column `facet`."""
    return sa.func.unnest(_texts(values)).table_valued("facet").render_derived()


def any_of(values: Sequence[str]) -> sa.ColumnElement[Any]:
    return sa.any_(_texts(values))


def _texts(values: Sequence[str]) -> sa.ColumnElement[Any]:
    return sa.literal(list(values), ARRAY(Text))
