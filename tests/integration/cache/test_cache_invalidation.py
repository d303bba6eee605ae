"""Whatever is written through one replica, the next read through another one sees it.

That one had read it before, so Redis held the old answer, or the absence.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1 import cache_service_pb2 as c
from vwed.v1 import record_service_pb2 as r
from vwed.v1 import task_def_service_pb2 as d
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import stub_of
from tests.support.metrics_page import figures, free_address
from tests.support.steps import let_lease_run_out, seconds, until
from vwed.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

STRONG = (("x-vwed-consistency", "strong"),)
OVERWRITE = d.ImportTaskDefsOptions(conflict=d.ImportTaskDefsOptions.CONFLICT_OVERWRITE)

Step = Callable[[Client], Awaitable[object]]


class Case(NamedTuple):
    name: str
    read: Message
    before: tuple[Step, ...]
    write: Step

    def __str__(self) -> str:
        return self.name


def call(request: Message) -> Step:
    return lambda client: stub_of(client, request)(request)


def imports(**item: Any) -> Step:
    async def step(client: Client) -> None:
        messages = [d.ImportTaskDefsRequest(options=OVERWRITE), d.ImportTaskDefsRequest(**item)]
        answer = await client.definitions.ImportTaskDefs(iter(messages))
        assert answer.created + answer.updated == 1

    return step


def definitions() -> Iterator[Case]:
    get = d.GetTaskDefRequest(id="d")
    made = call(d.CreateTaskDefRequest(task_def=TaskDef(id="d", name="d")))
    update = call(d.UpdateTaskDefRequest(task_def=TaskDef(id="d", description="new")))
    delete = call(d.DeleteTaskDefRequest(id="d"))
    disable = call(d.DisableTaskDefRequest(id="d"))
    import_ = imports(task_def=TaskDef(id="d", name="d", version=1, description="imported"))
    yield Case("create a definition", get, (), made)
    yield Case("import a definition", get, (), import_)
    yield Case("import over a definition", get, (made,), import_)
    yield Case("update a definition", get, (made,), update)
    yield Case("a new version", d.GetTaskDefRequest(id="d", version=2), (made,), update)
    yield Case("delete a definition", get, (made,), delete)
    yield Case("undelete a definition", get, (made, delete), call(d.UndeleteTaskDefRequest(id="d")))
    yield Case("disable a definition", get, (made,), disable)
    yield Case("enable a definition", get, (made, disable), call(d.EnableTaskDefRequest(id="d")))
    back = call(d.RollbackTaskDefRequest(id="d", version=1))
    yield Case("roll a definition back", get, (made, update), back)
    template = call(d.CreateTaskTemplateRequest(task_template=TaskTemplate(id="t", name="t")))
    named = TaskDef(id="d", name="d")
    instance = call(d.InstantiateTaskTemplateRequest(id="t", task_def=named))
    yield Case("instantiate a template", get, (template,), instance)


def templates() -> Iterator[Case]:
    get = d.GetTaskTemplateRequest(id="t")
    made = call(d.CreateTaskTemplateRequest(task_template=TaskTemplate(id="t", name="t")))
    new = TaskTemplate(id="t", description="new")
    update = call(d.UpdateTaskTemplateRequest(task_template=new))
    delete = call(d.DeleteTaskTemplateRequest(id="t"))
    undelete = call(d.UndeleteTaskTemplateRequest(id="t"))
    import_ = imports(task_template=TaskTemplate(id="t", name="t", version=1, description="in"))
    yield Case("create a template", get, (), made)
    yield Case("import over a template", get, (made,), import_)
    yield Case("update a template", get, (made,), update)
    yield Case("delete a template", get, (made,), delete)
    yield Case("undelete a template", get, (made, delete), undelete)


DEFINED = call(d.CreateTaskDefRequest(task_def=TaskDef(id="d", name="d")))
CREATED = call(r.CreateTaskRecordRequest(task_record=TaskRecord(id="run", task_def_id="d")))
STARTED = call(r.StartTaskRecordRequest(id="run", executor_id="robot-1", lease=seconds(60)))
FINISHED = call(
    r.FinishTaskRecordRequest(id="run", status=TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED)
)
DELETED = call(r.DeleteTaskRecordRequest(id="run", force=True))
PRUNED = call(r.PruneTaskRecordsRequest(ended_before=Timestamp(seconds=4_000_000_000)))


def runs() -> Iterator[Case]:
    get = r.GetTaskRecordRequest(id="run")
    yield Case("create a run", get, (DEFINED,), CREATED)
    pending = (DEFINED, CREATED)
    claim = r.ClaimTaskRecordsRequest(executor_id="robot-1", max_count=1)
    labels = TaskRecord(id="run", labels={"a": "b"})
    yield Case("start a run", get, pending, STARTED)
    yield Case("claim a run", get, pending, call(claim))
    yield Case("cancel a run", get, pending, call(r.CancelTaskRecordRequest(id="run")))
    yield Case("update a run", get, pending, call(r.UpdateTaskRecordRequest(task_record=labels)))
    yield Case("delete a run", get, pending, DELETED)
    running = (*pending, STARTED)
    paused = call(r.PauseTaskRecordRequest(id="run"))
    block = BlockRecord(block_id="b")
    for name, request in (
        ("heartbeat", r.HeartbeatTaskRecordRequest(id="run", message="here")),
        (
            "release a run",
            r.ReleaseTaskRecordRequest(id="run", executor_id="robot-1", lease_epoch=1),
        ),
        ("signal", r.SignalTaskRecordRequest(id="run", name="go")),
        ("report a block", r.ReportBlockRequest(task_record_id="run", block_record=block)),
        ("report blocks", r.ReportBlocksRequest(task_record_id="run", block_records=[block])),
    ):
        yield Case(name, get, running, call(request))
    yield Case("pause a run", get, running, paused)
    resume = call(r.ResumeTaskRecordRequest(id="run"))
    yield Case("resume a run", get, (*running, paused), resume)
    yield Case("finish a run", get, running, FINISHED)
    yield Case("prune a run", get, (*running, FINISHED), PRUNED)


def entries() -> Iterator[Case]:
    get = c.GetDataCacheRequest(task_record_id="run", key="k")
    there: dict[str, Any] = {"task_record_id": "run", "key": "k"}
    one = c.SetDataCacheRequest(data_cache=DataCache(**there, int_value=1))
    only_new = c.SetDataCacheRequest(data_cache=one.data_cache, if_absent=True)
    batch = c.BatchSetDataCacheRequest(task_record_id="run", requests=[one])
    created = (DEFINED, CREATED)
    for request in (one, only_new, batch, c.IncrementDataCacheRequest(**there, int_delta=1)):
        name = request.DESCRIPTOR.name.removesuffix("Request")
        yield Case(f"{name} of what was absent", get, created, call(request))
        if request is not only_new:
            yield Case(name, get, (*created, call(one)), call(request))
    for change in (
        c.TouchDataCacheRequest(**there, ttl=seconds(60)),
        c.DeleteDataCacheRequest(**there),
        c.ClearDataCacheRequest(task_record_id="run"),
    ):
        name = change.DESCRIPTOR.name.removesuffix("Request")
        yield Case(name, get, (*created, call(one)), call(change))
    yield Case("delete an entry's run", get, (*created, call(one)), DELETED)
    pruned = (*created, call(one), STARTED, FINISHED)
    yield Case("prune an entry's run", get, pruned, PRUNED)


@pytest.fixture(scope="module")
async def other(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """Another replica: where it serves, and where it shows what it counts."""
    page = free_address()
    async with serving(settings.model_copy(update={"metrics_listen": page})) as port:
        yield f"127.0.0.1:{port}", page


@pytest.fixture
async def reader(other: tuple[str, str], tenant: str) -> AsyncIterator[Client]:
    async with connect(other[0], tenant=tenant, bare=True) as client:
        yield client


async def read(client: Client, request: Message, *metadata: tuple[str, str]) -> Any:
    """The answer; None: there is no such thing."""
    try:
        return await stub_of(client, request)(request, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return None


async def read_from_redis(client: Client, request: Message, page: str) -> Any:
    """The answer, once it is Redis that gives it."""
    while True:
        hits = (await figures(page))["vwed_cache_hits_total"]
        answer = await read(client, request)
        if (await figures(page))["vwed_cache_hits_total"] > hits:
            return answer


@pytest.mark.parametrize("case", [*definitions(), *templates(), *runs(), *entries()], ids=str)
async def test_a_write_is_seen_through_another_replica(
    client: Client, reader: Client, other: tuple[str, str], case: Case
) -> None:
    for step in case.before:
        await step(client)
    old = await read_from_redis(reader, case.read, other[1])
    await case.write(client)
    new = await read(reader, case.read)
    assert new != old
    assert new == await read(reader, case.read, *STRONG)


async def test_a_lease_that_runs_out_is_seen_through_another_replica(
    client: Client, reader: Client, other: tuple[str, str], database_url: str
) -> None:
    for step in (DEFINED, CREATED, STARTED):
        await step(client)
    await read_from_redis(reader, r.GetTaskRecordRequest(id="run"), other[1])
    await let_lease_run_out(database_url, "run")
    await until(reader, "run", TaskRecordStatus.TASK_RECORD_STATUS_INTERRUPTED)
