"""What lists of definitions and templates go by: each stands under everything it can be found by.

A facet is one thing that a filter can ask for, of live or of soft-deleted ones: "live:all",
"live:status=2", "gone:label.zone=A". The table has what lists are ordered by beside each, so a list
with any one filter is a range of one index, whatever the data.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import TaskDefFilter, TaskTemplateFilter
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.storage import rows
from vwed_grpc.storage.transaction import Transaction

_LIVE, _GONE = "live:", "gone:"
_FIELDS = (
    ("names", "name"),
    ("task_template_ids", "task_template_id"),
    ("task_types", "task_type"),
    ("statuses", "status"),
)
"""Of a filter, with the field that it asks for."""


def _facet(field: str, value: str | int) -> str:
    return f"{field}={value}"


def _label(key: str, value: str) -> str:
    # No label has a key with "=", but a filter may ask for one: it is not to be another's.
    return _facet(f"label.{key.replace('=', '%3D')}", value)


def _facets_of(message: TaskDef | TaskTemplate) -> Iterator[str]:
    yield "all"
    for _, field in _FIELDS:
        if hasattr(message, field):
            yield _facet(field, getattr(message, field))
    for key, value in message.labels.items():
        yield _label(key, value)


async def write(
    tx: Transaction, table: sa.Table, tenant: str, message: TaskDef | TaskTemplate
) -> None:
    """Puts a definition under all its facets."""
    state = _GONE if message.HasField("delete_time") else _LIVE
    place = {
        "tenant": tenant,
        "id": message.id,
        "name": message.name,
        "create_time": rows.moment(message.create_time),
        "update_time": rows.moment(message.update_time),
        "task_type": message.task_type or None,
    }
    await tx.session.execute(
        sa.insert(table), [{**place, "facet": state + facet} for facet in _facets_of(message)]
    )


async def rewrite(
    tx: Transaction, table: sa.Table, tenant: str, message: TaskDef | TaskTemplate
) -> None:
    """Makes a definition's facets what they have become."""
    await tx.session.execute(
        sa.delete(table).where(table.c.tenant == tenant, table.c.id == message.id)
    )
    await write(tx, table, tenant, message)


def asked(f: TaskDefFilter | TaskTemplateFilter, *, deleted: bool) -> list[list[str]]:
    """The facets that a filter asks for: an item must have one of each list, and has no two."""
    wanted = [
        [_facet(field, value) for value in dict.fromkeys(getattr(f, values))]
        for values, field in _FIELDS
        if getattr(f, values, None)
    ]
    wanted += [[_label(key, value)] for key, value in sorted(f.labels.items()) if value]
    states = (_LIVE, _GONE) if deleted else (_LIVE,)
    return [
        [state + facet for state in states for facet in facets] for facets in wanted or [["all"]]
    ]


def unlabelled(f: TaskDefFilter | TaskTemplateFilter) -> list[list[str]]:
    """The labels that a filter wants unset: of each, what the facets of its values begin with."""
    keys = (key for key, value in sorted(f.labels.items()) if not value)
    return [[state + _label(key, "") for state in (_LIVE, _GONE)] for key in keys]
