"""Paging, which all lists do alike: sizes, tokens, totals."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from vwed.v1.record_service_pb2 import (
    ListTaskRecordsRequest,
)
from vwed.v1.task_def_service_pb2 import (
    ListTaskDefsRequest,
)

from tests.support.calls import create_def, delete_def
from tests.support.databases import incarnation_of
from tests.support.list_subjects import (
    ALL,
    COUNT,
    Subject,
    blocks,
    definitions,
    started_run,
    templates,
)
from tests.support.refusals import read_refusal, refusal
from vwed.client import Client, connect
from vwed_grpc.domain.paging import encode, request_fingerprint


@pytest.fixture(scope="module", params=ALL, ids=lambda make: make.__name__)
async def subject(request: pytest.FixtureRequest, target: str) -> AsyncIterator[Subject]:
    """Made once: these tests only read."""
    async with connect(target, tenant=f"t-{uuid.uuid4()}", bare=True) as client:
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
    others = other_arguments(subject.arguments)
    assert len(others) > 2
    for name, other in others.items():
        refused = await refusal(subject.page(page_token=token, **{name: other}))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["page_token"]), name


def other_arguments(request: Message) -> dict[str, Any]:
    """A value for each of its fields that is not the one it has, but for the page's."""
    others: dict[str, Any] = {}
    given = {field.name for field, _ in request.ListFields()}  # what it is a list of
    for field in request.DESCRIPTOR.fields:
        if field.name in {"page_size", "page_token", *given}:
            continue
        if field.message_type:
            first = field.message_type.fields[0].name
            others[field.name] = {first: ["x" if first != "statuses" else 1]}
        else:
            others[field.name] = " " if field.type == FieldDescriptor.TYPE_STRING else 1
    return others


async def test_what_it_cannot_be_ordered_by_is_refused(subject: Subject) -> None:
    for order_by in ("colour", "config", "tenant", "id desc desc", "name; DROP TABLE task_defs"):
        refused = await refusal(subject.page(order_by=order_by))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["order_by"]), order_by


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
    client: Client, database_url: str, tenant: str, position: tuple[Any, ...]
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
    copy = (await incarnation_of(database_url)).copy
    for call, request in calls:
        fingerprint = request_fingerprint(tenant, request.DESCRIPTOR.name, request)
        request.page_token = encode(fingerprint, (copy, *position))
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
