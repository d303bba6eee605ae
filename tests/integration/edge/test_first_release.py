"""Data of the first release's schema, migrated to the present one and served."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc import StatusCode
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2
from vwed.v1.block_record_pb2 import BlockRecordStatus
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    CreateTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    ListTaskRecordsRequest,
    RetryTaskRecordRequest,
)
from vwed.v1.task_def_service_pb2 import (
    ListTaskDefsRequest,
    ListTaskTemplatesRequest,
    TaskDefFilter,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter, TaskRecordStatus

from tests.support.calls import finish_run, json_object
from tests.support.databases import empty_database
from tests.support.steps import block, get, refused, report
from tests.support.watching import watching
from vwed.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine
from vwed_grpc.storage.models import TaskRecord as Model

HERE = Path(__file__).parent / "first_release"
ANSWERS = [json.loads(line) for line in (HERE / "answers.jsonl").read_text().splitlines()]
SERVICES = {
    "definitions": task_def_service_pb2,
    "records": record_service_pb2,
    "cache": cache_service_pb2,
}
FAILED_2, FAILED_3, LOST_2, LOST_3 = (
    "01a226bc-681a-746b-aadb-9db074fdb21c",
    "01a226bc-683b-70c9-8121-b3e90f1e919f",
    "01a226bc-684d-7444-805e-f9be35da2953",
    "01a226bc-685f-7853-83b0-86731877f9df",
)
"""Retries of "failed", and of "lost", which was deleted then."""


@asynccontextmanager
async def upgraded(
    postgres_url: str, redis_url: str, *, leases_over: bool = False
) -> AsyncIterator[tuple[str, Client]]:
    """The database's URL, and a client of a server on it. Leases last, unless they are over."""
    with empty_database(postgres_url) as url:
        engine = sync_engine(url)
        with engine.begin() as connection:
            config = schema.alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            connection.exec_driver_sql((HERE / "rows.sql").read_text())
            if leases_over:
                connection.exec_driver_sql(
                    "UPDATE task_records SET lease_expire_time = now() - interval '1 minute'"
                    " WHERE lease_expire_time IS NOT NULL"
                )
        assert schema.migrate(engine) == "0001"
        engine.dispose()
        settings = Settings(listen="127.0.0.1:0", database_url=url, redis_url=redis_url)
        async with (
            serving(settings) as port,
            connect(f"127.0.0.1:{port}", tenant="plant", actor="tester", bare=True) as client,
        ):
            yield url, client


@pytest.fixture(scope="module")
async def read(postgres_url: str, redis_url: str) -> AsyncIterator[tuple[str, Client]]:
    """For tests that leave it as it is."""
    async with upgraded(postgres_url, redis_url) as found:
        yield found


@pytest.mark.parametrize("said", ANSWERS, ids=lambda a: f"{a['call']} {a['request']}")
async def test_what_was_answered_is_answered(
    said: dict[str, Any], read: tuple[str, Client]
) -> None:
    _, client = read
    call = said["call"]
    (service,) = (name for name, module in SERVICES.items() if hasattr(module, f"{call}Request"))
    request = ParseDict(said["request"], getattr(SERVICES[service], f"{call}Request")())
    answer = await getattr(getattr(client, service), call)(request)
    assert MessageToDict(answer, preserving_proto_field_name=True) == said["answer"]


S = TaskRecordStatus
LISTED: list[tuple[TaskRecordFilter, set[str]]] = [
    (
        TaskRecordFilter(task_def_ids=["shuttle"], statuses=[S.TASK_RECORD_STATUS_SUCCEEDED]),
        {"succeeded", "below"},
    ),
    (
        TaskRecordFilter(statuses=[S.TASK_RECORD_STATUS_PENDING]),
        {"pending", "first-version", "below-pending", FAILED_3},
    ),
    (
        TaskRecordFilter(
            statuses=[S.TASK_RECORD_STATUS_INTERRUPTED, S.TASK_RECORD_STATUS_CANCELING]
        ),
        {"interrupted", "canceling"},
    ),
    (TaskRecordFilter(external_ids=["wms-1", "wms-paused"]), {"pending", "paused"}),
    (
        TaskRecordFilter(external_ids=[""]),
        {"no-lease", "below", "below-pending", "canceled"},
    ),
    (TaskRecordFilter(executor_ids=["robot-10"]), {"above", "below"}),
    (
        TaskRecordFilter(executor_ids=[""]),
        {"pending", "first-version", "below-pending", "canceled"}
        | {FAILED_2, FAILED_3, LOST_2, LOST_3},
    ),
    (TaskRecordFilter(robot_ids=["amr-1"]), {"running"}),
    (
        TaskRecordFilter(robot_ids=[""], labels={"zone": "B"}),
        {"first-version", "pausing", "canceling", "interrupted"},
    ),
    (TaskRecordFilter(labels={"kept": "yes", "zone": "A"}), {"succeeded"}),
    (TaskRecordFilter(parent_task_record_id="above"), {"below", "below-pending"}),
    (TaskRecordFilter(retry_of="lost"), {LOST_2}),
]


@pytest.mark.parametrize(
    ("filter_", "ids"),
    LISTED,
    ids=[json.dumps(MessageToDict(f), sort_keys=True) for f, _ in LISTED],
)
async def test_lists_by_what_indexes_are_for(
    filter_: TaskRecordFilter, ids: set[str], read: tuple[str, Client]
) -> None:
    _, client = read
    found = await client.records.ListTaskRecords(ListTaskRecordsRequest(filter=filter_))
    assert {run.id for run in found.task_records} == ids
    times = [run.create_time.ToNanoseconds() for run in found.task_records]
    assert times == sorted(times, reverse=True)


async def test_lists_of_definitions(read: tuple[str, Client]) -> None:
    _, client = read
    request = ListTaskDefsRequest(filter=TaskDefFilter(labels={"zone": "A"}))
    assert [d.id for d in (await client.definitions.ListTaskDefs(request)).task_defs] == ["shuttle"]
    request = ListTaskDefsRequest(show_deleted=True, order_by="id")
    found = (await client.definitions.ListTaskDefs(request)).task_defs
    assert {each.id for each in found} == {"draft", "gone", "off", "shuttle", "to-p-07"}
    templates = await client.definitions.ListTaskTemplates(ListTaskTemplatesRequest())
    assert [each.id for each in templates.task_templates] == ["deliver"]


def test_each_retry_learns_where_its_chain_began(read: tuple[str, Client]) -> None:
    url, _ = read
    engine = sync_engine(url)
    with engine.connect() as connection:
        retries = sa.select(Model.id, Model.retry_chain).where(Model.retry_chain != "")
        chains = {row.id: row.retry_chain for row in connection.execute(retries)}
    engine.dispose()
    assert chains == {FAILED_2: "failed", FAILED_3: "failed", LOST_2: "lost", LOST_3: "lost"}


async def test_the_work_goes_on(postgres_url: str, redis_url: str) -> None:
    async with upgraded(postgres_url, redis_url, leases_over=True) as (_, client):
        # Its lease was over before the upgrade, but the service could not be reached meanwhile.
        held = await client.records.HeartbeatTaskRecord(
            HeartbeatTaskRecordRequest(id="canceling", executor_id="robot-5", lease_epoch=1)
        )
        assert held.status == S.TASK_RECORD_STATUS_CANCELING

        async with watching(client, "running", after_seq=10) as watcher:
            seq = (await get(client, "running")).seq
            extra = block("extra", BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED)
            await report(client, "running", extra, executor_id="robot-1", lease_epoch=1)
            await finish_run(client, "running")
            await watcher.end()
        assert watcher.changes[seq - 10].block_record.block_id == "extra"
        last = watcher.changes[-1].task_record
        assert (last.status, last.block_counts.running) == (S.TASK_RECORD_STATUS_SUCCEEDED, 0)

        again = await client.records.CreateTaskRecord(
            CreateTaskRecordRequest(
                request_id="22222222-2222-4222-8222-222222222222",
                task_record=TaskRecord(
                    id="pending",
                    task_def_id="shuttle",
                    priority=5,
                    external_id="wms-1",
                    labels={"zone": "A", "shift": "night"},
                    input=json_object(bay="A-01"),
                ),
            )
        )
        assert again == await get(client, "pending")

        claimed = await client.records.ClaimTaskRecords(
            ClaimTaskRecordsRequest(executor_id="robot-1", max_count=100, include_interrupted=True)
        )
        assert [run.id for run in claimed.task_records] == [
            "pending",
            "first-version",
            "interrupted",
            "below-pending",
            FAILED_3,
        ]

        with refused(StatusCode.FAILED_PRECONDITION, "RETRY_OPEN"):
            await client.records.RetryTaskRecord(RetryTaskRecordRequest(id="failed"))
        retry = await client.records.RetryTaskRecord(RetryTaskRecordRequest(id=LOST_3))
        assert retry.attempt == 4
        with refused(StatusCode.FAILED_PRECONDITION, "RETRY_OPEN"):
            await client.records.RetryTaskRecord(RetryTaskRecordRequest(id=LOST_2))
