"""Runs that ended when a test says, written where the service would have written them."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from vwed_grpc.domain.lifecycle import Status
from vwed_grpc.storage.database import sync_engine


@dataclass
class End:
    """How a run ended; it waited, then took so many seconds (None: it did neither)."""

    at: datetime | None
    waited: float | None
    took: float | None
    status: Status
    robot: str = ""
    task_def: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    blocks: list[tuple[str, int, float | None]] = field(default_factory=list)
    """block_type, status, seconds that it took."""


_RUN = sa.text("""
    INSERT INTO task_records
           (tenant, id, status, create_time, update_time, start_time, end_time, robot_id,
            task_def_id, labels)
    VALUES (:tenant, :id, :status, :created, :created, :began, :ended, :robot, :task_def,
            CAST(:labels AS jsonb))
""")
_BLOCK = sa.text("""
    INSERT INTO block_records
           (tenant, task_record_id, block_id, iteration, attempt, id, block_type, status, first_seq,
            start_time, end_time, create_time, update_time)
    VALUES (:tenant, :run, :id, '', 1, :id, :type, :status, :n, :began, :ended, :ended, :ended)
""")


async def write_runs(database_url: str, tenant: str, *ends: End) -> None:
    engine = sync_engine(database_url)
    with engine.begin() as connection:
        for end in ends:
            run = uuid.uuid4().hex
            ended = end.at or datetime.now().astimezone()
            began = None if end.waited is None else ended - timedelta(seconds=end.took or 0)
            created = (began or ended) - timedelta(seconds=end.waited or 0)
            connection.execute(
                _RUN,
                {
                    "tenant": tenant, "id": run, "status": end.status, "created": created,
                    "began": began, "ended": end.at, "robot": end.robot,
                    "task_def": end.task_def, "labels": json.dumps(end.labels),
                },
            )  # fmt: skip
            for n, (type_, status, took) in enumerate(end.blocks):
                connection.execute(
                    _BLOCK,
                    {
                        "tenant": tenant, "run": run, "id": f"b{n}", "type": type_,
                        "status": status, "n": n, "ended": ended,
                        "began": None if took is None else ended - timedelta(seconds=took),
                    },
                )  # fmt: skip
    engine.dispose()
