"""Runs at their largest, and verbs on them."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from vwed.v1 import record_service_pb2 as r
from vwed.v1.common_pb2 import TimeRange, View
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter, TaskRecordStatus

from bench.turns import contents
from bench.turns.cases import UUID, Case
from bench.turns.seed import DEF, GROUPS, SMALL_DEF, Seed

FULL = View.VIEW_FULL
By = r.SummarizeTaskRecordsRequest.GroupBy
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
ENDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED


def _range() -> TimeRange:
    now = datetime.now(UTC)
    span = TimeRange()
    getattr(span, "from").FromDatetime(now - timedelta(days=90))
    span.to.FromDatetime(now + timedelta(days=1))
    return span


def runs() -> Iterator[Case]:
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


def verbs(seed: Seed) -> Iterator[Case]:
    async def pending(n: int) -> None:
        seed.runs(f"wait-{n}-", 100, 1)

    yield Case(
        "ClaimTaskRecords",
        "100",
        lambda _: r.ClaimTaskRecordsRequest(executor_id="e", max_count=100),
        pending,
    )
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


def endings(seed: Seed) -> Iterator[Case]:
    """What may concern very many runs, blocks or entries."""
    large = contents.numbers()

    def started(prefix: str) -> Callable[[int], Awaitable[Any]]:
        return lambda n: seed.run(f"{prefix}-{n}")

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

    def prune(_: int) -> Any:
        request = r.PruneTaskRecordsRequest(statuses=[FAILED])
        request.ended_before.FromDatetime(datetime.now(UTC) + timedelta(days=1))
        return request

    yield Case("PruneTaskRecords", "10,000", prune, old)
