"""Each RPC with the largest request, or for the largest answer, that the contract allows."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.struct_pb2 import Struct
from vwed.v1 import cache_service_pb2 as c
from vwed.v1 import record_service_pb2 as r
from vwed.v1 import task_def_service_pb2 as t
from vwed.v1.common_pb2 import TimeRange, View
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter, TaskRecordStatus
from vwed.v1.task_template_pb2 import TaskTemplate

from bench.turns import contents
from bench.turns.seed import DEF, GROUPS, HISTORY, RUN, SMALL_DEF, TEMPLATE, Seed
from vwed_grpc.client import Client

FULL = View.VIEW_FULL
UUID = "00000000-0000-4000-8000-{:012}"
By = r.SummarizeTaskRecordsRequest.GroupBy
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
ENDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED


@dataclass(frozen=True)
class Case:
    method: str
    what: str
    make: Callable[[int], Any]
    """The request of the nth try: a message, or a list of them where they are a stream."""
    before: Callable[[int], Awaitable[Any]] | None = None
    """What must be there for the nth try."""
    messages: int = field(default=0)
    """Of a stream without end: how many are read."""


def _range() -> TimeRange:
    now = datetime.now(UTC)
    span = TimeRange()
    getattr(span, "from").FromDatetime(now - timedelta(days=90))
    span.to.FromDatetime(now + timedelta(days=1))
    return span


def cases(seed: Seed) -> Iterator[Case]:
    yield from _definitions(seed)
    yield from _templates()
    yield from _schemas()
    yield from _runs(seed)
    yield from _verbs(seed)
    yield from _blocks(seed)
    yield from _entries(seed)


def _definitions(seed: Seed) -> Iterator[Case]:
    large, flat = contents.blocks(), contents.numbers()

    def create(name: str, config: Struct) -> Callable[[int], Any]:
        return lambda n: t.CreateTaskDefRequest(
            task_def=TaskDef(id=f"{name}-{n}", name=f"{name} {n}", config=config),
            request_id=UUID.format(hash((name, n)) % 10**12),
        )

    yield Case("CreateTaskDef", "2,000 blocks", create("blocks", large))
    yield Case("CreateTaskDef", "50,000 numbers", create("numbers", flat))
    bad = contents.blocks()
    for block in bad.fields["blocks"].list_value.values:
        block.struct_value.fields["type"].number_value = 1
    yield Case("CreateTaskDef", "bad blocks", create("bad", bad))
    wrong = contents.struct({"values": [None] * 49_990})
    for value in wrong.fields["values"].list_value.values:
        value.Clear()
    yield Case("CreateTaskDef", "values of no kind", create("wrong", wrong))
    yield Case("GetTaskDef", "", lambda _: t.GetTaskDefRequest(id=DEF))
    yield Case("GetTaskDef", "version", lambda _: t.GetTaskDefRequest(id=DEF, version=1))
    three = ["blocks-0", "blocks-1", DEF]
    yield Case("BatchGetTaskDefs", "3", lambda _: t.BatchGetTaskDefsRequest(ids=three, view=FULL))
    yield Case("ListTaskDefs", "full", lambda _: t.ListTaskDefsRequest(page_size=1000, view=FULL))

    def update(n: int) -> Any:
        return t.UpdateTaskDefRequest(task_def=TaskDef(id=DEF, config=contents.blocks(n + 2)))

    yield Case("UpdateTaskDef", "2,000 blocks", update)
    yield Case(
        "UpdateTaskDef",
        "labels alone",
        lambda n: t.UpdateTaskDefRequest(task_def=TaskDef(id=DEF, labels={"n": str(n)})),
    )
    yield Case("DiffTaskDefVersions", "all moved and changed", lambda _: _diff(1, 3))
    yield Case("DiffTaskDefVersions", "again", lambda _: _diff(1, 2))
    yield Case("RollbackTaskDef", "", lambda n: t.RollbackTaskDefRequest(id=DEF, version=1 + n % 2))
    yield Case(
        "ListTaskDefVersions",
        "full",
        lambda _: t.ListTaskDefVersionsRequest(id=DEF, page_size=1000, view=FULL),
    )
    yield Case("DisableTaskDef", "", lambda _: t.DisableTaskDefRequest(id=DEF))
    yield Case("EnableTaskDef", "", lambda _: t.EnableTaskDefRequest(id=DEF))
    yield Case("DeleteTaskDef", "", lambda n: t.DeleteTaskDefRequest(id=f"blocks-{n}"))
    yield Case("UndeleteTaskDef", "", lambda n: t.UndeleteTaskDefRequest(id=f"blocks-{n}"))
    yield Case("ExportTaskDefs", "", lambda _: t.ExportTaskDefsRequest())

    def imported(n: int) -> list[Any]:
        options = t.ImportTaskDefsOptions(conflict=t.ImportTaskDefsOptions.CONFLICT_OVERWRITE)
        items = [
            TaskDef(id=f"imported-{m}", name=f"i {m}", config=contents.blocks(n + 3), version=1 + n)
            for m in range(3)
        ]
        return [
            t.ImportTaskDefsRequest(options=options),
            *(t.ImportTaskDefsRequest(task_def=item) for item in items),
        ]

    yield Case("ImportTaskDefs", "1 MiB each", imported)

    def many(n: int) -> list[Any]:
        options = t.ImportTaskDefsOptions(conflict=t.ImportTaskDefsOptions.CONFLICT_OVERWRITE)
        return [
            t.ImportTaskDefsRequest(options=options),
            *(
                t.ImportTaskDefsRequest(task_def=TaskDef(id=f"m-{n}-{m}", name=f"m {n} {m}"))
                for m in range(3_000)
            ),
        ]

    yield Case("ImportTaskDefs", "3,000 small ones", many)


def _diff(one: int, other: int) -> Any:
    return t.DiffTaskDefVersionsRequest(id=DEF, from_version=one, to_version=other)


def _templates() -> Iterator[Case]:
    large = contents.blocks(parameter="a")
    schema = contents.struct({"properties": {"a": {"type": "number"}}})

    def template(id_: str, config: Struct) -> TaskTemplate:
        return TaskTemplate(id=id_, name=id_, config=config, parameters_schema=schema)

    yield Case(
        "CreateTaskTemplate",
        "2,000 blocks",
        lambda n: t.CreateTaskTemplateRequest(task_template=template(f"template-{n}", large)),
    )
    yield Case("GetTaskTemplate", "", lambda _: t.GetTaskTemplateRequest(id=TEMPLATE))
    yield Case(
        "UpdateTaskTemplate",
        "2,000 blocks",
        lambda n: t.UpdateTaskTemplateRequest(
            task_template=TaskTemplate(id=TEMPLATE, config=contents.blocks(n + 1, parameter="a"))
        ),
    )
    yield Case(
        "ListTaskTemplates", "full", lambda _: t.ListTaskTemplatesRequest(page_size=1000, view=FULL)
    )
    yield Case(
        "ListTaskTemplateVersions",
        "full",
        lambda _: t.ListTaskTemplateVersionsRequest(id=TEMPLATE, page_size=1000, view=FULL),
    )
    yield Case("DeleteTaskTemplate", "", lambda n: t.DeleteTaskTemplateRequest(id=f"template-{n}"))
    yield Case(
        "UndeleteTaskTemplate", "", lambda n: t.UndeleteTaskTemplateRequest(id=f"template-{n}")
    )

    def instantiate(**given: Any) -> Callable[[int], Any]:
        return lambda n: t.InstantiateTaskTemplateRequest(
            id=TEMPLATE, task_def=TaskDef(name=f"made {n}"), validate_only=True, **given
        )

    one = contents.struct({"a": 1})
    yield Case("InstantiateTaskTemplate", "2,000 blocks", instantiate(parameters=one))
    yield Case(
        "InstantiateTaskTemplate",
        "overrides of 1 MiB",
        instantiate(parameters=one, overrides=contents.blocks(9)),
    )


def _schemas() -> Iterator[Case]:
    """Checking one, and parameters against it."""
    for name, json in contents.schemas().items():
        schema = contents.struct(json)
        id_ = f"schema-{name.replace(' ', '-')}"
        yield Case(
            "CreateTaskTemplate",
            f"schema: {name}",
            lambda n, id_=id_, schema=schema: t.CreateTaskTemplateRequest(
                task_template=TaskTemplate(
                    id=f"{id_}-{n}", name=f"{id_} {n}", parameters_schema=schema
                )
            ),
        )
        given = contents.struct({f"p{n:04}": 1 for n in range(1_990)} | {"a": 1})
        yield Case(
            "InstantiateTaskTemplate",
            f"schema: {name}",
            lambda _, id_=id_, given=given: t.InstantiateTaskTemplateRequest(
                id=f"{id_}-0",
                task_def=TaskDef(name="made"),
                parameters=given,
                validate_only=True,
            ),
        )


def _runs(seed: Seed) -> Iterator[Case]:
    large = contents.numbers()
    many = {f"k{n}": float(n) for n in range(45_000)}
    for what, given in (("50,000 numbers", large), ("45,000 members", contents.struct(many))):
        yield Case(
            "CreateTaskRecord",
            what,
            lambda n, what=what, given=given: r.CreateTaskRecordRequest(
                task_record=TaskRecord(
                    id=f"large-{what[:2]}-{n}", task_def_id=SMALL_DEF, input=given
                ),
                request_id=UUID.format(hash((what, n)) % 10**12),
            ),
        )
    yield Case(
        "CreateTaskRecord",
        "of 2,000 blocks",
        lambda n: r.CreateTaskRecordRequest(
            task_record=TaskRecord(id=f"of-large-{n}", task_def_id=DEF)
        ),
    )
    yield Case("GetTaskRecord", "1 MiB", lambda _: r.GetTaskRecordRequest(id="large-50-0"))
    ids = [f"done-{n}" for n in range(1, 1001)]
    for view in (View.VIEW_BASIC, FULL):
        name = "full" if view == FULL else "basic"
        yield Case(
            "BatchGetTaskRecords",
            name,
            lambda _, view=view: r.BatchGetTaskRecordsRequest(ids=ids, view=view),
        )
        yield Case(
            "ListTaskRecords",
            name,
            lambda _, view=view: r.ListTaskRecordsRequest(
                page_size=1000, view=view, filter=TaskRecordFilter(statuses=[ENDED])
            ),
        )
    wide = TaskRecordFilter(
        ids=[f"done-{n}" for n in range(1000)],
        task_def_ids=[f"d{n}" for n in range(1000)] + [SMALL_DEF][:0],
        external_ids=["x" * 200 + str(n) for n in range(1000)],
        executor_ids=["x" * 100 + str(n) for n in range(1000)],
        robot_ids=["x" * 100 + str(n) for n in range(1000)],
        task_def_names=["x" * 100 + str(n) for n in range(1000)],
        task_types=["x" * 100 + str(n) for n in range(1000)],
    )
    yield Case("ListTaskRecords", "wide filter", lambda _: r.ListTaskRecordsRequest(filter=wide))
    yield Case(
        "UpdateTaskRecord",
        "of 1 MiB",
        lambda n: r.UpdateTaskRecordRequest(
            task_record=TaskRecord(id="large-50-0", labels={"n": str(n)})
        ),
    )
    for name, by in (
        ("10,000 robots", [By.GROUP_BY_ROBOT]),
        ("by robot and hour", [By.GROUP_BY_ROBOT, By.GROUP_BY_HOUR]),
        ("by status", [By.GROUP_BY_STATUS]),
    ):
        yield Case(
            "SummarizeTaskRecords",
            name,
            lambda _, by=by: r.SummarizeTaskRecordsRequest(
                end_time=_range(), group_by=by, filter=TaskRecordFilter(statuses=[ENDED])
            ),
        )
    yield Case(
        "SummarizeBlockRecords",
        "10,000 types",
        lambda _: r.SummarizeBlockRecordsRequest(end_time=_range()),
    )


def _verbs(seed: Seed) -> Iterator[Case]:
    def started(prefix: str) -> Callable[[int], Awaitable[Any]]:
        return lambda n: seed.run(f"{prefix}-{n}")

    async def pending(n: int) -> None:
        seed.runs(f"wait-{n}-", 100, 1)

    yield Case(
        "ClaimTaskRecords",
        "100",
        lambda _: r.ClaimTaskRecordsRequest(executor_id="e", max_count=100),
        pending,
    )
    large = contents.numbers()
    yield Case(
        "StartTaskRecord",
        "1 MiB",
        lambda n: r.StartTaskRecordRequest(id=f"large-50-{n}", executor_id="e"),
    )
    for verb, request in (
        ("Heartbeat", r.HeartbeatTaskRecordRequest(message="on", robot_id="r")),
        ("Pause", r.PauseTaskRecordRequest()),
        ("Resume", r.ResumeTaskRecordRequest()),
        ("Signal", r.SignalTaskRecordRequest(name="x", payload=contents.small(1, 2_000))),
        ("Release", r.ReleaseTaskRecordRequest()),
    ):

        def of_large(n: int, request: Any = request) -> Any:
            asked = type(request)()
            asked.CopyFrom(request)
            asked.id = f"large-50-{n}"
            if isinstance(asked, r.ReleaseTaskRecordRequest):
                asked.executor_id, asked.lease_epoch = "e", 1
            return asked

        yield Case(f"{verb}TaskRecord", "1 MiB", of_large)

    async def parent(n: int) -> None:
        await seed.run(f"parent-{n}")
        seed.runs(f"below-{n}-", 3_000, 2, f"parent-{n}")

    yield Case(
        "CancelTaskRecord",
        "3,000 below",
        lambda n: r.CancelTaskRecordRequest(id=f"parent-{n}", cascade=True, force=True),
        parent,
    )

    async def parent_to_delete(n: int) -> None:
        await seed.run(f"gone-{n}")
        seed.runs(f"moved-{n}-", 3_000, 7, f"gone-{n}")

    yield Case(
        "DeleteTaskRecord",
        "3,000 below",
        lambda n: r.DeleteTaskRecordRequest(id=f"gone-{n}", force=True),
        parent_to_delete,
    )

    async def with_entries(n: int) -> None:
        await seed.run(f"full-{n}")
        await seed.entries(f"full-{n}", 20_000)

    yield Case(
        "DeleteTaskRecord",
        "20,000 entries",
        lambda n: r.DeleteTaskRecordRequest(id=f"full-{n}", force=True),
        with_entries,
    )
    yield Case(
        "FinishTaskRecord",
        "result of 1 MiB",
        lambda n: r.FinishTaskRecordRequest(id=f"ends-{n}", status=FAILED, result=large),
        started("ends"),
    )
    yield Case(
        "FinishTaskRecord",
        "50,000 open blocks",
        lambda n: r.FinishTaskRecordRequest(id=f"open-{n}", status=FAILED),
        lambda n: seed.many_blocks(f"open-{n}", 50_000, 2),
    )

    async def failed(n: int) -> None:
        await seed.many_blocks(f"again-{n}", 20_000, 4)
        await seed.entries(f"again-{n}", 20_000)
        await seed.client.records.FinishTaskRecord(
            r.FinishTaskRecordRequest(id=f"again-{n}", status=FAILED)
        )

    yield Case(
        "RetryTaskRecord",
        "20,000 blocks and entries",
        lambda n: r.RetryTaskRecordRequest(
            id=f"again-{n}", mode=r.RetryTaskRecordRequest.MODE_FROM_FAILURE
        ),
        failed,
    )

    async def old(n: int) -> None:
        seed.runs(f"old-{n}-", GROUPS, 8)

    def prune(n: int) -> Any:
        request = r.PruneTaskRecordsRequest(statuses=[FAILED])
        request.ended_before.FromDatetime(datetime.now(UTC) + timedelta(days=1))
        return request

    yield Case("PruneTaskRecords", "10,000", prune, old)


def _blocks(seed: Seed) -> Iterator[Case]:
    async def run(n: int) -> None:
        await seed.run(f"reported-{n}")

    yield Case(
        "ReportBlocks",
        "1,000 blocks, 3 MiB",
        lambda n: r.ReportBlocksRequest(
            task_record_id=f"reported-{n}", block_records=contents.reports(n)
        ),
        run,
    )
    yield Case(
        "ReportBlocks",
        "the same again",
        lambda n: r.ReportBlocksRequest(
            task_record_id=f"reported-{n}", block_records=contents.reports(n)
        ),
    )

    def done(n: int) -> list[Any]:
        blocks = contents.reports(n)
        for block in blocks:
            block.status = contents.SUCCEEDED
        return blocks

    yield Case(
        "ReportBlocks",
        "updates",
        lambda n: r.ReportBlocksRequest(task_record_id=f"reported-{n}", block_records=done(n)),
    )
    yield Case(
        "ReportBlock",
        "1 MiB",
        lambda n: r.ReportBlockRequest(
            task_record_id=RUN,
            block_record=contents.BlockRecord(
                block_id=f"one-{n}", input_data=contents.numbers(49_000 + n)
            ),
        ),
    )
    yield Case(
        "StreamBlockReports",
        "5 batches of 3 MiB",
        lambda n: [
            r.StreamBlockReportsRequest(
                task_record_id=RUN, batch_id=str(m), block_records=contents.reports(10 * n + m + 7)
            )
            for m in range(5)
        ],
    )
    yield Case(
        "StreamBlockReports",
        "60 batches of 1,000",
        lambda n: [
            r.StreamBlockReportsRequest(
                task_record_id=RUN,
                batch_id=str(m),
                block_records=[contents.BlockRecord(block_id=f"s{n}-{m}-{k}") for k in range(1000)],
            )
            for m in range(60)
        ],
    )
    yield Case(
        "ListBlockRecords",
        "full",
        lambda _: r.ListBlockRecordsRequest(task_record_id=HISTORY, page_size=1000, view=FULL),
    )
    yield Case(
        "ListBlockRecords",
        "basic",
        lambda _: r.ListBlockRecordsRequest(
            task_record_id=HISTORY, page_size=1000, include_total=True
        ),
    )
    for view in (View.VIEW_BASIC, FULL):
        yield Case(
            "ListTaskRecordEvents",
            "full" if view == FULL else "basic",
            lambda _, view=view: r.ListTaskRecordEventsRequest(
                task_record_id=HISTORY, page_size=1000, view=view
            ),
        )
        yield Case(
            "WatchTaskRecord",
            "snapshot, full" if view == FULL else "snapshot",
            lambda _, view=view: r.WatchTaskRecordRequest(task_record_id=HISTORY, view=view),
            messages=4,
        )
        yield Case(
            "WatchTaskRecord",
            "history, full" if view == FULL else "history",
            lambda _, view=view: r.WatchTaskRecordRequest(
                task_record_id=HISTORY, view=view, after_seq=0
            ),
            messages=10,
        )
    yield Case(
        "WatchTaskRecords",
        "with blocks",
        lambda _: r.WatchTaskRecordsRequest(include_blocks=True, view=FULL),
        messages=8,
    )


def _entries(seed: Seed) -> Iterator[Case]:
    def entry(n: int, key: str = "") -> c.SetDataCacheRequest:
        made = DataCache(task_record_id=RUN, key=key or f"key-{n}")
        made.json_value.struct_value.CopyFrom(contents.small(n, 150))
        return c.SetDataCacheRequest(data_cache=made)

    def large(n: int) -> c.SetDataCacheRequest:
        made = DataCache(task_record_id=RUN, key="large")
        made.json_value.struct_value.CopyFrom(contents.numbers(49_000 + n))
        return c.SetDataCacheRequest(data_cache=made)

    yield Case("SetDataCache", "1 MiB", large)
    yield Case(
        "GetDataCache", "1 MiB", lambda _: c.GetDataCacheRequest(task_record_id=RUN, key="large")
    )
    yield Case(
        "BatchSetDataCache",
        "1,000, 3 MiB",
        lambda n: c.BatchSetDataCacheRequest(
            task_record_id=RUN, requests=[entry(m + n) for m in range(1000)]
        ),
    )
    keys = [f"key-{n}" for n in range(3, 1000)]
    yield Case(
        "BatchGetDataCache",
        "1,000 full",
        lambda _: c.BatchGetDataCacheRequest(task_record_id=RUN, keys=keys, view=FULL),
    )
    yield Case(
        "ListDataCache",
        "full",
        lambda _: c.ListDataCacheRequest(
            task_record_id=RUN, key_prefix="key-", page_size=1000, view=FULL
        ),
    )
    yield Case(
        "IncrementDataCache",
        "",
        lambda n: c.IncrementDataCacheRequest(task_record_id=RUN, key="count", int_delta=1),
    )
    yield Case("TouchDataCache", "1 MiB", lambda _: _touch())
    yield Case(
        "DeleteDataCache",
        "1 MiB",
        lambda _: c.DeleteDataCacheRequest(task_record_id=RUN, key="large"),
        lambda n: seed.client.cache.SetDataCache(large(n)),
    )

    async def full(n: int) -> None:
        await seed.run(f"clear-{n}")
        await seed.entries(f"clear-{n}", 20_000)

    yield Case(
        "ClearDataCache",
        "20,000",
        lambda n: c.ClearDataCacheRequest(task_record_id=f"clear-{n}"),
        full,
    )


def _touch() -> Any:
    request = c.TouchDataCacheRequest(task_record_id=RUN, key="large")
    request.ttl.seconds = 3600
    return request


async def call(client: Client, case: Case, request: Any) -> str:
    """Makes the call; answers how it ended, if not well."""
    stubs = (client.definitions, client.records, client.cache)
    method = next(m for stub in stubs if (m := getattr(stub, case.method, None)) is not None)
    if isinstance(request, list):
        answer = method(_sent(request), timeout=120)
    else:
        answer = method(request, timeout=120)
    if not hasattr(answer, "__aiter__"):
        await answer
        return ""
    read = 0
    async for _ in answer:
        read += 1
        if read == case.messages:
            answer.cancel()
            break
    return ""


async def _sent(requests: list[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request
