"""Which runs a filter means, and how they are listed: a page in order, whatever the data."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed_grpc.storage import models, rows
from vwed_grpc.storage.conditions import one_of
from vwed_grpc.storage.listing import Listing

table = models.TaskRecord.__table__
labels = models.TaskRecordLabel.__table__
c = table.c
PAYLOAD = (c.input, c.result)
BASIC = [column for column in c if column not in PAYLOAD]

_VALUES = {
    "ids": c.id,
    "external_ids": c.external_id,
    "robot_ids": c.robot_id,
    "executor_ids": c.executor_id,
    "task_def_ids": c.task_def_id,
    "statuses": c.status,
    "task_def_names": c.task_def_name,
    "task_types": c.task_type,
    "error_codes": c.error_code,
}
"""Filter field -> column, those first whose values tell most about a run."""
_SINGLE = {
    "parent_task_record_id": c.parent_task_record_id,
    "root_task_record_id": c.root_task_record_id,
    "retry_of": c.retry_of,
}
_LISTED_BY = ("external_ids", "robot_ids", "executor_ids", "task_def_ids", "statuses")
"""Filters whose column has an index in the order of a list."""
_MOST_ALTERNATIVES = 20


def where(tenant: str, f: TaskRecordFilter) -> list[sa.ColumnElement[bool]]:
    """What a filter leaves: fields ANDed, the values within one ORed."""
    conditions: list[sa.ColumnElement[bool]] = [c.tenant == tenant]
    for name, column in _VALUES.items():
        conditions += one_of(column, getattr(f, name))
    for name, column in _SINGLE.items():
        if value := getattr(f, name):
            # Their indexes leave out the empty text: a condition must say so to use one.
            conditions += [column == value, column != sa.literal_column("''")]
    if f.external_id_prefix:
        conditions.append(c.external_id.startswith(f.external_id_prefix, autoescape=True))
    if borne := {key: value for key, value in f.labels.items() if value}:
        conditions.append(c.labels.contains(borne))
    for key in sorted(f.labels.keys() - borne.keys()):
        conditions.append(sa.func.coalesce(c.labels[key].astext, "") == "")
    conditions += within(c.create_time, f.create_time)
    conditions += within(c.start_time, f.start_time)
    conditions += within(c.end_time, f.end_time)
    return conditions


def within(column: sa.Column[Any], span: TimeRange) -> list[sa.ColumnElement[bool]]:
    """The conditions of a range, of which either end may be open; an unset time meets none."""
    conditions: list[sa.ColumnElement[bool]] = []
    if span.HasField("from"):
        conditions.append(column >= rows.moment(getattr(span, "from")))
    if span.HasField("to"):
        conditions.append(column < rows.moment(span.to))
    return conditions


@dataclass(frozen=True, slots=True)
class Listed:
    """How the runs of a filter are listed, for `Listing.page`."""

    listing: Listing[TaskRecord]
    where: list[sa.ColumnElement[bool]]
    alternatives: list[sa.ColumnElement[bool]]


def listed(tenant: str, f: TaskRecordFilter) -> Listed:
    """A label is asked of the index of labels, a field of few values of its own, value by value.

    Neither is asked again: of what is asked twice the planner takes much fewer to be left than
    there are, and reads and sorts them all.
    """
    rest = TaskRecordFilter()
    rest.CopyFrom(f)
    listing, bears = LISTING, []
    if borne := [(key, value) for key, value in f.labels.items() if value]:
        key, value = min(borne)
        del rest.labels[key]
        listing, bears = _BY_LABEL, [labels.c.key == key, labels.c.value == value]
    alternatives: list[sa.ColumnElement[bool]] = []
    for name in _LISTED_BY:
        values = getattr(f, name)
        if 1 < len(values) <= _MOST_ALTERNATIVES:
            rest.ClearField(name)  # type: ignore[arg-type]  # one of its fields
            each = dict.fromkeys(values)
            alternatives = [_VALUES[name] == value for value in each]
            break
    return Listed(listing, [*bears, *where(tenant, rest)], alternatives)


def _listing(
    source: sa.FromClause, create_time: sa.Column[Any], id_: sa.Column[Any]
) -> Listing[TaskRecord]:
    return Listing(
        source=source,
        columns=BASIC,
        payload=PAYLOAD,
        identity=c.id,
        orders={
            "id": id_,
            "create_time": create_time,
            "start_time": c.start_time,
            "end_time": c.end_time,
            "priority": c.priority,
        },
        reader=rows.task_records,
        unset=frozenset({"start_time", "end_time"}),
    )


LISTING = _listing(table, c.create_time, c.id)
_BY_LABEL = _listing(
    labels.join(table, sa.and_(labels.c.tenant == c.tenant, labels.c.task_record_id == c.id)),
    labels.c.create_time,
    labels.c.task_record_id,
)
"""By the index of labels, in its order, if a filter has one."""
