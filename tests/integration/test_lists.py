"""Paging, which all lists do alike: sizes, tokens, totals."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.cache_service_pb2 import ListDataCacheRequest
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    ListBlockRecordsRequest,
    ListTaskRecordEventsRequest,
    ListTaskRecordsRequest,
    ReportBlocksRequest,
)
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    ListTaskDefsRequest,
    ListTaskTemplatesRequest,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.integration.calls import create_def, create_run, delete_def, set_entry, start_run
from tests.integration.refusals import read_refusal, refusal
from vwed_grpc.client import Client, connect
from vwed_grpc.domain.paging import encode, request_fingerprint

COUNT = 7


@dataclass
class Subject:
    """One list with COUNT items."""

    call: Callable[[Any], Awaitable[Any]]
    arguments: Any
    items: str
    """The answer's field that holds them."""
    name: Callable[[Any], Any]
    """Of an item."""
    expected: list[Any]
    """Names of all, in the default order."""

    async def page(self, **options: Any) -> tuple[list[Any], str, int]:
        request = type(self.arguments)()
        request.CopyFrom(self.arguments)
        request.MergeFrom(type(request)(**options))
        answer = await self.call(request)
        names = [self.name(item) for item in getattr(answer, self.items)]
        return names, answer.next_page_token, answer.total_size


async def started_run(client: Client, blocks: int = 0) -> str:
    task_def = await create_def(client, f"def-{uuid.uuid4()}")
    run = await start_run(client, (await create_run(client, task_def.id)).id)
    for start in range(0, blocks, 1000):
        names = (f"block-{n}" for n in range(start, min(start + 1000, blocks)))
        await client.records.ReportBlocks(
            ReportBlocksRequest(
                task_record_id=run.id, block_records=[BlockRecord(block_id=n) for n in names]
            )
        )
    return run.id


async def definitions(client: Client) -> Subject:
    made = [await create_def(client, f"def-{n}") for n in range(COUNT)]
    return Subject(
        client.definitions.ListTaskDefs,
        ListTaskDefsRequest(),
        "task_defs",
        lambda item: item.name,
        [task_def.name for task_def in made],
    )


async def templates(client: Client) -> Subject:
    names = [f"template-{n}" for n in range(COUNT)]
    for name in names:
        await client.definitions.CreateTaskTemplate(
            CreateTaskTemplateRequest(task_template=TaskTemplate(name=name))
        )
    return Subject(
        client.definitions.ListTaskTemplates,
        ListTaskTemplatesRequest(),
        "task_templates",
        lambda item: item.name,
        names,
    )


async def runs(client: Client) -> Subject:
    task_def = await create_def(client)
    made = [await create_run(client, task_def.id) for _ in range(COUNT)]
    return Subject(
        client.records.ListTaskRecords,
        ListTaskRecordsRequest(),
        "task_records",
        lambda item: item.id,
        [run.id for run in reversed(made)],  # the newest first
    )


async def blocks(client: Client, run: str = "") -> Subject:
    run = run or await started_run(client, COUNT)
    return Subject(
        client.records.ListBlockRecords,
        ListBlockRecordsRequest(task_record_id=run),
        "block_records",
        lambda item: item.block_id,
        [f"block-{n}" for n in range(COUNT)],
    )


async def events(client: Client) -> Subject:
    # The creation and the start are events too.
    return Subject(
        client.records.ListTaskRecordEvents,
        ListTaskRecordEventsRequest(task_record_id=await started_run(client, COUNT - 2)),
        "events",
        lambda item: item.seq,
        list(range(1, COUNT + 1)),
    )


async def entries(client: Client) -> Subject:
    run = await started_run(client)
    keys = [f"key-{n}" for n in range(COUNT)]
    for key in reversed(keys):
        await set_entry(client, run, key, int_value=1)
    return Subject(
        client.cache.ListDataCache,
        ListDataCacheRequest(task_record_id=run),
        "data_caches",
        lambda item: item.key,
        keys,
    )


ALL = [definitions, templates, runs, blocks, events, entries]


@pytest.fixture(scope="module", params=ALL, ids=lambda make: make.__name__)
async def subject(request: pytest.FixtureRequest, target: str) -> AsyncIterator[Subject]:
    """Made once: these tests only read."""
    async with connect(target, tenant=f"t-{uuid.uuid4()}") as client:
        yield await request.param(client)


async def test_pages_of_any_size_give_the_whole(subject: Subject) -> None:
    for size in (1, 2, COUNT - 1, COUNT, COUNT + 1):
        found: list[Any] = []
        token, pages = "", 0
        while token or not pages:
            names, token, total = await subject.page(page_size=size, page_token=token)
            assert len(names) == min(size, COUNT - len(found))
            assert total == 0
            found += names
            pages += 1
        assert found == subject.expected
        assert pages == -(-COUNT // size)  # no empty page at the end


async def test_the_total_is_told_if_asked(subject: Subject) -> None:
    names, token, total = await subject.page(page_size=3, include_total=True)
    assert (len(names), total) == (3, COUNT)
    _, _, total = await subject.page(page_size=3, include_total=True, page_token=token)
    assert total == COUNT


async def test_a_negative_page_size_is_refused(subject: Subject) -> None:
    refused = await refusal(subject.page(page_size=-1))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["page_size"])


async def test_a_token_goes_with_any_page_size_and_no_other_argument(subject: Subject) -> None:
    names, token, _ = await subject.page(page_size=2)
    more, _, _ = await subject.page(page_size=5, page_token=token)
    assert names + more == subject.expected
    for other in ({"view": View.VIEW_FULL}, {"include_total": True}, {"order_by": " "}):
        refused = await refusal(subject.page(page_token=token, **other))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["page_token"])


async def test_a_token_may_be_used_again(subject: Subject) -> None:
    _, token, _ = await subject.page(page_size=2)
    once = await subject.page(page_size=2, page_token=token)
    assert await subject.page(page_size=2, page_token=token) == once


async def test_what_is_no_token_is_refused(subject: Subject) -> None:
    _, token, _ = await subject.page(page_size=2)
    swapped = ("B" if token[0] == "A" else "A") + token[1:]
    for forged in ("x", "%%%", "é", token[:-1], token + "A", token + "=", swapped, "A" * 4097):
        refused = await refusal(subject.page(page_token=forged))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["page_token"])


@pytest.mark.parametrize(
    "position",
    [
        (),
        (None,),
        (None, None),
        ("x",),
        (2**40,),
        (2**63 - 1, "x"),
        (-(2**63), "x"),
        (datetime.min.replace(tzinfo=UTC), "x"),
        (datetime.max.replace(tzinfo=UTC), "x"),
        ("x", 0.5),
        ("x", "y", "z"),
    ],
    ids=repr,
)
async def test_a_sealed_token_of_any_content_is_no_fault_of_ours(
    client: Client, position: tuple[Any, ...]
) -> None:
    """The seal has no secret: who reads the source can make one."""
    calls: list[tuple[Callable[[Any], Awaitable[Any]], Any]] = [
        (client.definitions.ListTaskDefs, ListTaskDefsRequest(order_by=order))
        for order in ("name", "create_time desc", "task_type", "task_type desc, name")
    ]
    calls += [
        (client.records.ListTaskRecords, ListTaskRecordsRequest(order_by=order))
        for order in ("", "priority", "priority desc", "start_time desc", "end_time")
    ]
    for call, request in calls:
        fingerprint = request_fingerprint(request.DESCRIPTOR.name, request)
        request.page_token = encode(fingerprint, position)
        try:
            await call(request)
        except grpc.aio.AioRpcError as error:
            refused = read_refusal(error)
            assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["page_token"])


async def test_a_token_is_of_one_list_alone(client: Client) -> None:
    of_defs, of_templates = await definitions(client), await templates(client)
    of_a_run, of_another = await blocks(client), await blocks(client)
    for one, other in ((of_defs, of_templates), (of_a_run, of_another)):
        _, token, _ = await one.page(page_size=2)
        refused = await refusal(other.page(page_token=token))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["page_token"])


async def test_page_sizes_default_to_50_and_end_at_1000(client: Client) -> None:
    subject = await blocks(client, await started_run(client, 1_003))
    for size, length in ((0, 50), (1_000, 1_000), (1_001, 1_000), (2**31 - 1, 1_000)):
        names, token, _ = await subject.page(page_size=size)
        assert len(names) == length
    names, token, _ = await subject.page(page_size=2_000, page_token=token)
    assert (names, token) == (["block-1000", "block-1001", "block-1002"], "")


async def test_rows_that_come_and_go_meanwhile_shift_nothing(client: Client) -> None:
    subject = await definitions(client)
    by_name = {"order_by": "name", "page_size": 3}
    names, token, _ = await subject.page(**by_name)
    for name in ("aaa", "def-0a", "zzz"):
        await create_def(client, name)
    listed = await client.definitions.ListTaskDefs(ListTaskDefsRequest())
    ids = {task_def.name: task_def.id for task_def in listed.task_defs}
    await delete_def(client, ids["def-2"])  # the last of the page that was read
    while token:
        more, token, _ = await subject.page(page_token=token, **by_name)
        names += more
    assert names == [*subject.expected, "zzz"]


async def test_an_empty_list_is_empty(client: Client) -> None:
    answer = await client.definitions.ListTaskDefs(ListTaskDefsRequest(include_total=True))
    assert (list(answer.task_defs), answer.next_page_token, answer.total_size) == ([], "", 0)
