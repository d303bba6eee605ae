"""The models, as scripts and reports use them: related both ways, read, never written."""

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf.json_format import MessageToDict
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, joinedload, selectinload
from vwed.v1.block_record_pb2 import BlockRecordStatus
from vwed.v1.record_service_pb2 import RetryTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecordStatus

from tests.support.calls import (
    create_def,
    create_run,
    delete_entry,
    finish_run,
    json_object,
    set_entry,
    start_run,
    update_def,
)
from tests.support.definition_calls import create_template, instantiate
from tests.support.steps import block, history, report
from vwed.client import Client, connect
from vwed_grpc.storage.database import sync_engine
from vwed_grpc.storage.models import (
    Base,
    BlockRecord,
    TaskDef,
    TaskRecord,
    TaskRecordEvent,
    TaskTemplateVersion,
)
from vwed_grpc.storage.sessions import async_engine, async_sessions, sync_sessions

FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
BLOCK_FAILED = BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    engine = sync_engine(database_url)
    with sync_sessions(engine)() as session:
        yield session
    engine.dispose()


@pytest.fixture
async def async_session(database_url: str) -> AsyncIterator[AsyncSession]:
    engine = async_engine(database_url)
    async with async_sessions(engine)() as session:
        yield session
    await engine.dispose()


@pytest.fixture(scope="module")
async def filled(target: str) -> str:
    """A tenant with something in each relation; another one has the same under the same ids."""
    tenants = [f"t-{uuid.uuid4().hex[:12]}" for _ in range(2)]
    for tenant in tenants:
        async with connect(target, tenant=tenant, actor="tester", bare=True) as client:
            await _fill(client)
    return tenants[0]


async def _fill(client: Client) -> None:
    await create_template(client, id="template", parameters_schema=json_object(type="object"))
    made = await instantiate(client, "template", id="def", name="def")
    made.config.update({"speed": 2})
    await update_def(client, made, "config")
    await create_def(client, id="unused")
    await create_run(client, "def", id="above", task_def_version=1)
    await create_run(
        client, "def", id="run", parent_task_record_id="above", input=json_object(bay="A-01")
    )
    await start_run(client, "run")
    await report(
        client,
        "run",
        block("outer", input_data={"turns": 1}),
        block("inner", BLOCK_FAILED, parent={"block_id": "outer"}, output_data={"code": 7}),
    )
    await set_entry(client, "run", "kept", int_value=3)
    await set_entry(client, "run", "deleted", int_value=4)
    await delete_entry(client, "run", "deleted")
    await finish_run(client, "run", FAILED, result=json_object(why="jam"))
    await client.records.RetryTaskRecord(RetryTaskRecordRequest(id="run"))


RELATED: dict[str, dict[str, list[str]]] = {
    "TaskDef.versions": {"def": ["def@1", "def@2"], "unused": ["unused@1"]},
    "TaskDef.content": {"def": ["def@2"], "unused": ["unused@1"]},
    "TaskDef.based_on": {"def": ["template@1"], "unused": []},
    "TaskDef.task_records": {"def": ["above", "run", "retry"], "unused": []},
    "TaskDefVersion.task_def": {"def@1": ["def"], "def@2": ["def"], "unused@1": ["unused"]},
    "TaskDefVersion.task_records": {"def@1": ["above"], "def@2": ["run", "retry"], "unused@1": []},
    "TaskTemplate.versions": {"template": ["template@1"]},
    "TaskTemplate.content": {"template": ["template@1"]},
    "TaskTemplate.task_defs": {"template": ["def"]},
    "TaskTemplateVersion.task_template": {"template@1": ["template"]},
    "TaskTemplateVersion.task_defs": {"template@1": ["def"]},
    "TaskRecord.task_def": {"above": ["def"], "run": ["def"], "retry": ["def"]},
    "TaskRecord.task_def_content": {"above": ["def@1"], "run": ["def@2"], "retry": ["def@2"]},
    "TaskRecord.block_records": {"above": [], "run": ["outer", "inner"], "retry": []},
    "TaskRecord.data_caches": {"above": [], "run": ["kept"], "retry": []},
    "TaskRecord.events": {
        "above": ["#1"],
        "run": ["#1", "#2", "#3", "#4", "#5", "#6"],
        "retry": ["#1"],
    },
    "TaskRecord.parent": {"above": [], "run": ["above"], "retry": ["above"]},
    "TaskRecord.children": {"above": ["run", "retry"], "run": [], "retry": []},
    "TaskRecord.retried": {"above": [], "run": [], "retry": ["run"]},
    "TaskRecord.retries": {"above": [], "run": ["retry"], "retry": []},
    "BlockRecord.task_record": {"outer": ["run"], "inner": ["run"]},
    "BlockRecord.parent": {"outer": [], "inner": ["outer"]},
    "BlockRecord.children": {"outer": ["inner"], "inner": []},
    "DataCache.task_record": {"kept": ["run"], "deleted": ["run"]},
}
"""Relation -> what each row of its class is related to."""
CLASSES: dict[str, Any] = {
    mapper.class_.__name__: mapper.class_ for mapper in Base.registry.mappers
}


NAMES = {
    "TaskDefVersion": "{0.task_def_id}@{0.version}",
    "TaskTemplateVersion": "{0.task_template_id}@{0.version}",
    "BlockRecord": "{0.block_id}",
    "DataCache": "{0.key}",
    "TaskRecordEvent": "#{0.seq}",
}
"""Class -> how its rows are called here; others by their id, and the retry so."""


def _name(row: Any) -> str:
    if getattr(row, "retry_of", ""):
        return "retry"
    return NAMES.get(type(row).__name__, "{0.id}").format(row)


def _names(rows: Any) -> list[str]:
    return [_name(row) for row in (rows if isinstance(rows, list) else [rows]) if row is not None]


def test_every_relation_is_tested() -> None:
    found = {
        f"{of}.{relation.key}"
        for of, class_ in CLASSES.items()
        for relation in sa.inspect(class_).relationships
    }
    assert found == RELATED.keys() | {"TaskRecordEvent.task_record"}


@pytest.mark.parametrize("relation", RELATED)
@pytest.mark.parametrize("load", [selectinload, joinedload])
def test_a_relation_in_a_session(relation: str, load: Any, session: Session, filled: str) -> None:
    of, name = relation.split(".")
    class_ = CLASSES[of]
    rows = session.scalars(
        sa.select(class_).where(class_.tenant == filled).options(load(getattr(class_, name)))
    )
    related = {_name(row): _names(getattr(row, name)) for row in rows.unique()}
    assert related == RELATED[relation]


async def test_relations_in_an_async_session(async_session: AsyncSession, filled: str) -> None:
    run = await async_session.scalar(
        sa.select(TaskRecord)
        .where(TaskRecord.tenant == filled, TaskRecord.id == "run")
        .options(
            selectinload(TaskRecord.task_def).selectinload(TaskDef.based_on),
            selectinload(TaskRecord.block_records).selectinload(BlockRecord.children),
            selectinload(TaskRecord.events).joinedload(TaskRecordEvent.task_record),
        )
    )
    assert run
    assert run.task_def.based_on
    assert run.task_def.based_on.task_template_id == "template"
    assert [_names(each.children) for each in run.block_records] == [["inner"], []]
    assert all(event.task_record is run for event in run.events)


def test_what_is_kept_as_bytes_is_read_as_messages(session: Session, filled: str) -> None:
    run = session.get_one(
        TaskRecord,
        (filled, "run"),
        options=[
            selectinload(TaskRecord.block_records),
            selectinload(TaskRecord.data_caches),
            selectinload(TaskRecord.task_def_content),
            selectinload(TaskRecord.events),
        ],
    )
    assert run.status == FAILED
    assert run.input_struct == json_object(bay="A-01")
    assert run.result_struct == json_object(why="jam")
    assert run.task_def_content.config_struct == json_object(speed=2)
    outer, inner = run.block_records
    assert (outer.input_data_struct, outer.output_data_struct) == (json_object(turns=1), None)
    assert inner.status == BLOCK_FAILED
    assert inner.output_data_struct == json_object(code=7)
    assert [entry.value_message.int_value for entry in run.data_caches] == [3]
    above = session.get_one(TaskRecord, (filled, "above"))
    assert above.result_struct is None
    template = session.get_one(TaskTemplateVersion, (filled, "template", 1))
    assert MessageToDict(template.parameters_schema_struct) == {"type": "object"}


async def test_events_are_read_as_the_history_tells_them(
    target: str, session: Session, filled: str
) -> None:
    async with connect(target, tenant=filled, bare=True) as client:
        told = await history(client, "run")
    events = session.scalars(
        sa.select(TaskRecordEvent)
        .where(TaskRecordEvent.tenant == filled, TaskRecordEvent.task_record_id == "run")
        .order_by(TaskRecordEvent.seq)
    )
    assert [event.event_message for event in events] == told


async def test_nothing_is_loaded_by_being_looked_at(
    session: Session, async_session: AsyncSession, filled: str
) -> None:
    run = session.get_one(TaskRecord, (filled, "run"))
    with pytest.raises(InvalidRequestError, match="lazy='raise'"):
        _ = run.block_records
    run = await async_session.get_one(TaskRecord, (filled, "run"))
    with pytest.raises(InvalidRequestError, match="lazy='raise'"):
        _ = run.parent


async def test_nothing_is_written(
    session: Session, async_session: AsyncSession, filled: str
) -> None:
    session.get_one(TaskRecord, (filled, "run")).priority = 7
    with pytest.raises(DBAPIError, match="read-only transaction"):
        session.flush()
    (await async_session.get_one(TaskRecord, (filled, "run"))).priority = 7
    with pytest.raises(DBAPIError, match="read-only transaction"):
        await async_session.flush()


async def test_a_session_reads_one_moment(
    target: str, session: Session, async_session: AsyncSession, tenant: str
) -> None:
    counted = sa.select(sa.func.count()).where(TaskDef.tenant == tenant)
    before = (session.scalar(counted), await async_session.scalar(counted))
    async with connect(target, tenant=tenant, bare=True) as client:
        await create_def(client)
    assert (session.scalar(counted), await async_session.scalar(counted)) == before == (0, 0)
    session.rollback()
    await async_session.rollback()
    assert (session.scalar(counted), await async_session.scalar(counted)) == (1, 1)
