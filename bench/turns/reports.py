"""Blocks, histories and entries at their largest."""

from collections.abc import Iterator
from typing import Any

from vwed.v1 import cache_service_pb2 as c
from vwed.v1 import record_service_pb2 as r
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.common_pb2 import View
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_record_pb2 import TaskRecordStatus

from bench.turns import contents
from bench.turns.cases import Case
from bench.turns.seed import HISTORY, RUN, Seed

FULL = View.VIEW_FULL
By = r.SummarizeTaskRecordsRequest.GroupBy
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
ENDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED


def blocks(seed: Seed) -> Iterator[Case]:
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
            block_record=BlockRecord(block_id=f"one-{n}", input_data=contents.numbers(49_000 + n)),
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
                block_records=[BlockRecord(block_id=f"s{n}-{m}-{k}") for k in range(1000)],
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


def entries(seed: Seed) -> Iterator[Case]:
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
        lambda _: c.IncrementDataCacheRequest(task_record_id=RUN, key="count", int_delta=1),
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
