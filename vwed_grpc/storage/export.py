"""Every version of every live definition, in the order of an export, in bounded memory."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.storage import models
from vwed_grpc.storage.definitions import Definitions
from vwed_grpc.storage.listing import MAX_PAGE_BYTES
from vwed_grpc.storage.pool import Pool

D = TypeVar("D", bound=TaskDef | TaskTemplate)


@dataclass(frozen=True, slots=True)
class Exported(Generic[D]):
    """One version, as it was read."""

    size: int
    """Bytes of its JSON."""
    message: Callable[[], D]
    """Makes a message of it, which takes long if it is large."""


_HEADS = 200
_VERSIONS = 200
"""Rows of a page; one of versions ends earlier at MAX_PAGE_BYTES."""


async def exported(
    pool: Pool, definitions: Definitions[D], tenant: str
) -> AsyncIterator[Exported[D]]:
    """By (id, version); what was live when its first version came is exported whole.

    As a version answers, and the newest of each with the present status, so that a change of it is
    a change of one item.
    """
    h = definitions.heads.c
    after = ""
    while True:
        page = await pool.select(
            sa.select(h.id, h.version, *([h.status] if "status" in h else []))
            .where(h.tenant == tenant, h.delete_time.is_(None), h.id > after)
            .order_by(h.id)
            .limit(_HEADS)
        )
        if not page:
            return
        newest = {row.id: row for row in page}
        async for row in _versions(pool, definitions, tenant, list(newest)):
            head = newest[row.id]
            if row.version > head.version:
                continue  # written meanwhile
            yield Exported(row.weight, partial(_message, definitions, row, head))
        after = page[-1].id


def _message(definitions: Definitions[D], row: sa.Row[Any], head: sa.Row[Any]) -> D:
    message = definitions.to_message(row)
    if isinstance(message, TaskDef) and message.version == head.version:
        message.status = head.status
    return message


async def _versions(
    pool: Pool, definitions: Definitions[D], tenant: str, ids: Sequence[str]
) -> AsyncIterator[sa.Row[Any]]:
    h, v = definitions.heads.c, definitions.versions.c
    place = sa.tuple_(h.id, v.version)
    weight = sum((sa.func.octet_length(column) for column in definitions.json), sa.literal(0))
    before = sa.func.sum(weight).over(order_by=(h.id, v.version), rows=(None, -1))
    after: tuple[Any, ...] = ("", 0)
    while True:
        page = (
            sa.select(
                *definitions.at_a_version,
                *definitions.json,
                weight.label("weight"),
                sa.func.coalesce(before, 0).label("before"),
            )
            .select_from(definitions.history)
            .where(
                h.tenant == tenant,
                h.id == sa.any_(sa.literal(list(ids), ARRAY(models.Text))),
                place > sa.tuple_(*after),
            )
            .order_by(h.id, v.version)
            .limit(_VERSIONS)
            .subquery()
        )
        rows = await pool.select(
            sa.select(page)
            .where(page.c.before < MAX_PAGE_BYTES)
            .order_by(page.c.id, page.c.version)
        )
        for row in rows:
            yield row
        if not rows:
            return
        after = (rows[-1].id, rows[-1].version)
