"""How definitions and templates are listed, with their histories."""

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import TaskDefFilter, TaskTemplateFilter
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.storage import models
from vwed_grpc.storage.definitions import Definitions
from vwed_grpc.storage.faceted_listing import FacetedListing, conditions, each_of, texts
from vwed_grpc.storage.facets import asked, unlabelled
from vwed_grpc.storage.listing import Listing
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement

D = TypeVar("D", bound=TaskDef | TaskTemplate)


_FEW = 100
"""Whatever more there are, how many does not matter."""


async def filtered(
    pool: ReadingPool,
    definitions: Definitions[D],
    tenant: str,
    f: TaskDefFilter | TaskTemplateFilter,
    *,
    deleted: bool,
) -> FacetedListing[D]:
    """What a filter leaves, in any of the documented orders."""
    h, facets = definitions.heads.c, definitions.facets
    rarest, *needed = await _rarest_first(pool, facets, tenant, asked(f, deleted=deleted))
    read = texts(rarest)
    others = [
        *conditions(
            facets,
            tenant,
            needed=needed,
            lacking=unlabelled(f),
            name_contains=f.name_contains,
        )
    ]
    return FacetedListing(
        source=definitions.latest,
        columns=list(h),
        payload=definitions.json,
        identity=h.id,
        orders={
            name: facets.c[name]
            for name in ("id", "name", "create_time", "update_time", "task_type")
        },
        reader=definitions.reader,
        unset=frozenset({"task_type"}),
        heads=definitions.heads,
        facets=facets,
        read=read,
        conditions=others,
        asked=[read, *others],
    )


async def _rarest_first(
    pool: ReadingPool, facets: sa.Table, tenant: str, wanted: list[list[str]]
) -> list[list[str]]:
    """A list costs least that reads what fewest have, and looks up the rest."""
    if len(wanted) == 1:
        return wanted
    counted = await pool.fetch(
        _members(facets),
        {"tenant": tenant, "facets": [facet for one_of in wanted for facet in one_of]},
    )
    counts: dict[str, int] = {row.facet: row.members for row in counted}

    def size(one_of: Sequence[str]) -> int:
        return sum(counts.get(facet, 0) for facet in one_of)

    return sorted(wanted, key=size)


@cache
def _members(facets: sa.Table) -> Statement:
    """How many stand under each facet, counted to a few."""
    facet = each_of(sa.bindparam("facets", type_=ARRAY(models.Text)))
    members = (
        sa.select(sa.literal(1))
        .where(facets.c.tenant == sa.bindparam("tenant"), facets.c.facet == facet.c.facet)
        .limit(_FEW)
        .lateral()
    )
    return Statement(
        sa.select(facet.c.facet, sa.func.count().label("members"))
        .select_from(facet.join(members, sa.true()))
        .group_by(facet.c.facet)
    )


def by_id(definitions: Definitions[D]) -> Listing[D]:
    """For `Listing.batch`."""
    return Listing(
        source=definitions.latest,
        columns=list(definitions.heads.c),
        payload=definitions.json,
        identity=definitions.heads.c.id,
        orders={},
        reader=definitions.reader,
    )


def history(definitions: Definitions[D]) -> Listing[D]:
    """The versions of one, as they are answered one by one."""
    version = definitions.versions.c.version
    return Listing(
        source=definitions.history,
        columns=definitions.at_a_version,
        payload=definitions.json,
        identity=version,
        orders={"version": version},
        reader=definitions.reader,
    )
