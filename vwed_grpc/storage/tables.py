"""The tables: the five models, their versions, the event log, the idempotency keys.

Every primary key and unique constraint begins with the tenant, so PostgreSQL can be sharded by it.
Text is compared by code point (collation C) whatever the database's locale is. JSON objects are
kept as the serialized `google.protobuf.Struct` they arrived as: see docs/decisions.md.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "pk": "%(table_name)s_pkey",
    }
)

Text = sa.Text(collation="C")
Time = sa.DateTime(timezone=True)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, Text, nullable=False, server_default="")


def _time(name: str, *, unset: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, Time, nullable=unset)


def _bytes(name: str, *, unset: bool = True) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=unset)


def _int(name: str, default: int = 0) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=str(default))


def _long(name: str, *, unset: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=unset, server_default=None if unset else "0")


def _labels() -> sa.Column[dict[str, str]]:
    return sa.Column("labels", pg.JSONB, nullable=False, server_default="{}")


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, Text, primary_key=True)


def _definitions(name: str, *own: sa.Column[str] | sa.Column[int]) -> sa.Table:
    """The present state of definitions or templates; contents stand in their versions."""
    table = sa.Table(
        name,
        metadata,
        _key("tenant"),
        _key("id"),
        _text("name"),
        _text("description"),
        _text("task_type"),
        _labels(),
        _int("version", 1),
        _text("created_by"),
        _text("change_note"),
        _time("create_time"),
        _time("update_time"),
        _time("delete_time", unset=True),
        _text("etag"),
        *own,
    )
    sa.Index(
        f"{name}_live_name",
        table.c.tenant,
        table.c.name,
        unique=True,
        postgresql_where=table.c.delete_time.is_(None),
    )
    return table


def _facets(name: str) -> sa.Table:
    """Each definition under everything that a filter can ask for, with what lists are ordered by.

    A list with any one filter, in any documented order, is then a range of one index, and as cheap
    for a value that nine of ten have as for one that nobody has. See docs/decisions.md.
    """
    table = sa.Table(
        name,
        metadata,
        _key("tenant"),
        _key("id"),
        # As `storage.facets` writes it: "live:all", "live:status=2", "gone:label.zone=A".
        _key("facet"),
        _text("name"),
        _time("create_time"),
        _time("update_time"),
        sa.Column("task_type", Text, nullable=True),
    )
    for field in ("name", "create_time", "update_time", "task_type"):
        column = table.c[field]
        # No order ends in the reverse of another, for ids ascend in both directions.
        descending = column.desc().nulls_last() if column.nullable else column.desc()
        for suffix, ordered in (("", column), ("_desc", descending)):
            sa.Index(f"{name}_{field}{suffix}", table.c.tenant, table.c.facet, ordered, table.c.id)
    return table


def _versions(name: str, parent: str, *own: sa.Column[bytes]) -> sa.Table:
    """Contents, one row a version, never changed."""
    return sa.Table(
        name,
        metadata,
        _key("tenant"),
        _key(parent),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        _text("name"),
        _text("description"),
        _text("task_type"),
        _labels(),
        _bytes("config", unset=False),
        _text("created_by"),
        _text("change_note"),
        _time("write_time"),
        *own,
    )


task_defs = _definitions(
    "task_defs",
    sa.Column("status", sa.SmallInteger, nullable=False),
    _text("task_template_id"),
    _int("task_template_version"),
)
task_def_facets = _facets("task_def_facets")
task_def_versions = _versions("task_def_versions", "task_def_id")
task_templates = _definitions("task_templates")
task_template_facets = _facets("task_template_facets")
task_template_versions = _versions(
    "task_template_versions", "task_template_id", _bytes("parameters_schema", unset=False)
)

BLOCK_COUNTS = ("pending", "running", "paused", "succeeded", "failed", "skipped", "canceled")
"""The fields of BlockCounts, in the order of BlockRecordStatus from 1 on."""

task_records = sa.Table(
    "task_records",
    metadata,
    _key("tenant"),
    _key("id"),
    _text("task_def_id"),
    _int("task_def_version"),
    _text("task_def_name"),
    _text("task_type"),
    sa.Column("status", sa.SmallInteger, nullable=False),
    _bytes("input"),
    _bytes("result"),
    _time("start_time", unset=True),
    _time("end_time", unset=True),
    _text("error_message"),
    _text("error_code"),
    _text("executor_id"),
    _long("lease_epoch"),
    sa.Column("lease", sa.Interval, nullable=True),
    _time("lease_expire_time", unset=True),
    _text("robot_id"),
    _text("message"),
    _int("priority"),
    _text("external_id"),
    _labels(),
    _text("parent_task_record_id"),
    _text("parent_block_record_id"),
    _text("root_task_record_id"),
    _text("retry_of"),
    # The first run of the chain that a retry belongs to, however many of the others are gone.
    _text("retry_chain"),
    _int("attempt", 1),
    # How many blocks the config has; with the counts below it gives total and progress.
    _int("config_blocks"),
    *(_int(f"blocks_{status}") for status in BLOCK_COUNTS),
    # All rows, earlier attempts too: what the limit of 200,000 counts.
    _int("blocks_recorded"),
    _long("seq"),
    # The seq of the newest event of the run itself, and of the one that made it final.
    _long("run_seq"),
    _long("final_seq", unset=True),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    _text("created_by"),
    _text("status_actor"),
    _text("status_reason"),
    _time("create_time"),
    _time("update_time"),
    _text("etag"),
    # Every report changes a run's row: room on the page, and no index on what a report changes,
    # keep these updates HOT.
    postgresql_with={"fillfactor": "70"},
)

# The labels of runs, each where a list of the runs that bear it reads them in order: a jsonb index
# would find all of them and sort, however many they are.
task_record_labels = sa.Table(
    "task_record_labels",
    metadata,
    _key("tenant"),
    _key("key"),
    _key("value"),
    sa.Column("create_time", Time, primary_key=True),
    _key("task_record_id"),
    sa.Index(None, "tenant", "task_record_id"),
)

block_records = sa.Table(
    "block_records",
    metadata,
    _key("tenant"),
    _key("task_record_id"),
    _key("block_id"),
    _key("iteration"),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    _text("id"),
    _text("block_type"),
    _text("name"),
    sa.Column("status", sa.SmallInteger, nullable=False),
    _bytes("input_data"),
    _bytes("output_data"),
    _time("start_time", unset=True),
    _time("end_time", unset=True),
    _text("parent_block_record_id"),
    _text("robot_id"),
    _text("message"),
    _text("error_message"),
    sa.Column("progress", sa.Double, nullable=False, server_default="0"),
    _long("first_seq"),
    _long("seq"),
    _time("create_time"),
    _time("update_time"),
    sa.UniqueConstraint("tenant", "task_record_id", "id"),
    sa.UniqueConstraint("tenant", "task_record_id", "first_seq"),
    postgresql_with={"fillfactor": "80"},
)

task_record_events = sa.Table(
    "task_record_events",
    metadata,
    _key("tenant"),
    _key("task_record_id"),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    # The last seq of the report or transition that this event belongs to.
    _long("group_seq"),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    _time("event_time"),
    # Which transaction wrote it: readers of many runs go by this, as seqs are per run.
    sa.Column(
        "xact",
        sa.BigInteger,
        nullable=False,
        server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
    ),
    # The serialized TaskRecordEvent of VIEW_BASIC, and what VIEW_FULL appends to it.
    _bytes("event", unset=False),
    _bytes("payload"),
    sa.Index(None, "tenant", "xact", "task_record_id", "seq"),
    # Rows stand in the order of their time, which is all that retention asks.
    sa.Index("task_record_events_age", "event_time", postgresql_using="brin"),
)

data_cache = sa.Table(
    "data_cache",
    metadata,
    _key("tenant"),
    _key("task_record_id"),
    _key("key"),
    _text("id"),
    sa.Column("type", sa.SmallInteger, nullable=False),
    # A serialized DataCache that holds the value alone.
    _bytes("value", unset=False),
    _time("expire_time", unset=True),
    _long("version"),
    _time("create_time"),
    _time("update_time"),
)
data_cache_versions = sa.Sequence("data_cache_versions", metadata=metadata)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    _key("tenant"),
    _key("request_id"),
    _text("method"),
    _bytes("fingerprint", unset=False),
    sa.Column("resource_ids", pg.ARRAY(sa.Text), nullable=False),
    _time("expire_time"),
    sa.Index(None, "expire_time"),
)

# One row, of no tenant's: when a server last said that it could write, and since when there has
# been no gap. See `storage.pulse`.
service_pulse = sa.Table(
    "service_pulse",
    metadata,
    _key("tenant"),
    _time("beat"),
    _time("reachable_since"),
    postgresql_with={"fillfactor": "20"},
)

# What a claim and the sweeper of leases look for; open runs alone are in these.
sa.Index(
    "task_records_claimable",
    task_records.c.tenant,
    task_records.c.priority.desc(),
    task_records.c.create_time,
    task_records.c.id,
    postgresql_where=task_records.c.status.in_([1, 6]),
)
sa.Index(
    "task_records_leased",
    task_records.c.tenant,
    task_records.c.id,
    postgresql_where=sa.and_(
        task_records.c.status.in_([2, 3, 4, 5]), task_records.c.lease.is_not(None)
    ),
)

# What hangs on a definition or on a run above: few of many, because they are open.
_OPEN = task_records.c.status.in_([1, 2, 3, 4, 5, 6])
sa.Index(
    "task_records_open_of_task_def",
    task_records.c.tenant,
    task_records.c.task_def_id,
    postgresql_where=_OPEN,
)

# What is asked before a run is retried or pruned: whether a later run of its chain is open.
sa.Index(
    "task_records_open_retries",
    task_records.c.tenant,
    task_records.c.retry_chain,
    task_records.c.attempt,
    postgresql_where=sa.and_(task_records.c.retry_chain != "", _OPEN),
)

# Lists by create_time, alone and with one filter, read their page in order from one of these.
_NEWEST = (task_records.c.create_time.desc(), task_records.c.id)
# What summaries and retention go by.
sa.Index("task_records_ended", task_records.c.tenant, task_records.c.end_time)
sa.Index("task_records_newest", task_records.c.tenant, *_NEWEST)
for _filtered in ("task_def_id", "status", "external_id", "executor_id", "robot_id"):
    sa.Index(
        f"task_records_{_filtered}", task_records.c.tenant, task_records.c[_filtered], *_NEWEST
    )
for _filtered in ("parent_task_record_id", "retry_of"):
    _column = task_records.c[_filtered]
    sa.Index(
        f"task_records_{_filtered}",
        task_records.c.tenant,
        _column,
        *_NEWEST,
        postgresql_where=_column != "",
    )

sa.Index(
    "data_cache_expiring",
    data_cache.c.expire_time,
    postgresql_where=data_cache.c.expire_time.is_not(None),
)


def one_of(column: sa.Column[Any], values: Sequence[Any]) -> list[sa.ColumnElement[bool]]:
    """A filter's condition: the column has one of the values; no values, no condition."""
    return [is_one_of(column, values)] if values else []


def is_one_of(column: sa.Column[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """The column has one of the values; none: never."""
    if len(values) == 1:
        return cast("sa.ColumnElement[bool]", column == values[0])
    return column == sa.any_(sa.literal(list(values), pg.ARRAY(column.type)))


def insert_unless_taken(table: sa.Table) -> pg.Insert:
    """An INSERT that does nothing, and returns nothing, where the primary key is taken."""
    return pg.insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key))
