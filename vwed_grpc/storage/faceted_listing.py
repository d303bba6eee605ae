"""Lists of definitions and templates: the facets first, then the rows of one page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.dialects.postgresql import ARRAY

from vwed_grpc.domain.ordering import OrderTerm
from vwed_grpc.storage import models
from vwed_grpc.storage.listing import Listing, Place
from vwed_grpc.storage.pool import Pool

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, kw_only=True)
class FacetedListing(Listing[M]):
    """Orders by the columns of `facets`; all else stands in `heads`, and the payload in `source`.

    A page costs what its rows cost: every facet asked for is an index range that is left after a
    page, whether the facet has ten members or all, and only then are the rows themselves read.
    """

    heads: sa.Table
    facets: sa.Table
    read: sa.BindParameter[Sequence[str]]
    """An item stands under one of these, which no item has two of."""
    conditions: Sequence[sa.ColumnElement[bool]]
    """What else is asked of facets, one by one: see `conditions`."""

    def first_rows(
        self,
        where: Sequence[sa.ColumnElement[bool]],
        order: Sequence[OrderTerm],
        limit: sa.BindParameter[int],
        *,
        place: Place | None,
        weighed: bool,
        alternatives: Sequence[sa.ColumnElement[bool]],  # noqa: ARG002 - the facets are the alternatives
    ) -> sa.Select[Any]:
        """As of `Listing`: the first rows of each facet, and of these the first."""
        # No page ends where nothing can follow, but a forged token says so.
        ranges = [*self._ranges(order, place)] or [[sa.false()]]
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
        self,
        range_: Sequence[sa.ColumnElement[bool]],
        order: Sequence[OrderTerm],
        limit: sa.BindParameter[int],
    ) -> sa.Select[Any]:
        """The first rows of a range in each facet."""
        facet = each_of(self.read)
        c = self.facets.c
        members = (
            sa.select(c.id, *self._keys(order))
            .where(c.facet == facet.c.facet, *self.conditions, *range_)
            .order_by(*(self._ordered(term) for term in order))
            .limit(limit)
            .lateral()
        )
        return sa.select(members).select_from(facet.join(members, sa.true()))

    def _ranges(
        self, order: Sequence[OrderTerm], place: Place | None
    ) -> Iterator[list[sa.ColumnElement[bool]]]:
        """What comes after `place`, as ranges that an index in this order is entered at.

        One range for each column that may be the first to differ; an OR of them would be a filter,
        which reads all before the position.
        """
        if place is None:
            yield []
            return
        equal: list[sa.ColumnElement[bool]] = []
        for term, value in zip(order, place, strict=True):
            column = self.orders[term.field]
            if value is None:
                equal.append(column.is_(None))
                continue
            yield [*equal, column < value if term.descending else column > value]
            if term.field in self.unset:
                yield [*equal, column.is_(None)]
            equal.append(column == value)

    async def _count(self, pool: Pool, where: Sequence[sa.ColumnElement[bool]]) -> int:
        del where  # the facets say it all
        counted = sa.select(sa.func.count()).where(
            self.facets.c.facet == sa.any_(self.read), *self.conditions
        )
        return int((await pool.select(counted))[0][0])


def conditions(
    facets: sa.Table,
    tenant: str,
    *,
    needed: Sequence[Sequence[str]],
    lacking: Sequence[Sequence[str]],
    name_contains: str,
) -> Iterator[sa.ColumnElement[bool]]:
    """A tenant's, under one of each of `needed`, which is looked up item by item.

    And under nothing that goes on after one of `lacking`.
    """
    c = facets.c
    yield c.tenant == tenant

    for wanted in needed:
        other = facets.alias()
        yield _any(other, tenant, c.id, other.c.facet == sa.any_(texts(wanted))).is_(sa.true())
    for starts in lacking:
        other = facets.alias()
        goes_on = sa.or_(*(_goes_on(other.c.facet, start) for start in starts))
        yield _any(other, tenant, c.id, goes_on).is_(sa.null())
    if name_contains:
        yield c.name.contains(name_contains, autoescape=True)


def _any(
    other: sa.FromClause,
    tenant: str,
    id_: sa.ColumnElement[str],
    condition: sa.ColumnElement[bool],
) -> sa.ScalarSelect[bool]:
    """True if an item has another facet that is so, else NULL."""
    # EXISTS would be planned as a join, which may read all that have the other facet.
    found = sa.select(sa.true()).where(other.c.tenant == tenant, other.c.id == id_, condition)
    return found.limit(sa.literal_column("1")).scalar_subquery()


def _goes_on(facet: sa.ColumnElement[str], start: str) -> sa.ColumnElement[bool]:
    """The facet begins so, and is longer: a range of the index, as text orders by code point."""
    return sa.and_(facet > start, facet < start[:-1] + chr(ord(start[-1]) + 1))


def each_of(values: sa.BindParameter[Sequence[str]]) -> sa.TableValuedAlias:
    """The values as rows, in a column `facet`."""
    return sa.func.unnest(values).table_valued("facet").render_derived()


def texts(values: Sequence[str]) -> sa.BindParameter[Sequence[str]]:
    """The values as one parameter: for `each_of`."""
    return sa.literal(list(values), ARRAY(models.Text))
