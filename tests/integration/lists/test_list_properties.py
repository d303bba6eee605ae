"""Paging while others insert and delete: nothing comes twice, nothing that stayed is skipped."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from vwed.v1.cache_service_pb2 import ListDataCacheRequest
from vwed.v1.record_service_pb2 import (
    DeleteTaskRecordRequest,
    ListBlockRecordsRequest,
    ListTaskRecordEventsRequest,
    ListTaskRecordsRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    ListTaskDefsRequest,
    ListTaskDefVersionsRequest,
    ListTaskTemplatesRequest,
    ListTaskTemplateVersionsRequest,
    TaskDefFilter,
)
from vwed.v1.task_record_pb2 import TaskRecord
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import (
    create_def,
    create_run,
    delete_def,
    delete_entry,
    set_entry,
    update_def,
)
from tests.support.definition_calls import create_template, delete_template, update_template
from tests.support.steps import block, report, running, start
from vwed.client import Client, connect

PHASES = [Phase.reuse, Phase.generate]
"""Not shrunk: each try costs calls, and a fault names its steps."""

RUN, DEF, TEMPLATE = "the-run", "the-def", "the-template"


@dataclass(frozen=True)
class Kind:
    """A list whose items have numbers, which may come in any order."""

    list_: Callable[[Client], Callable[[Any], Awaitable[Any]]]
    request: Any
    number: Callable[[Any], int]
    """Of an item; negative: none of ours."""
    insert: Callable[[Client, int], Awaitable[Any]]
    delete: Callable[[Client, int], Awaitable[Any]] | None
    orders: tuple[str, ...] = ("",)
    change: Callable[[Client, int, int], Awaitable[Any]] | None = None
    """Of an item; gives what it may be ordered by another value."""


def numbered(item: Any) -> int:
    return int(item.name) if item.name.isdecimal() else -1


def odd(number: int) -> dict[str, Any]:
    return {"task_type": str(number % 3) if number % 3 else "", "labels": {"odd": str(number % 2)}}


async def insert_def(client: Client, number: int) -> None:
    await create_def(client, f"{number:03}", id=f"def-{number}", **odd(number))


async def insert_template(client: Client, number: int) -> None:
    await create_template(client, f"{number:03}", id=f"template-{number}", **odd(number))


ORDERS = (
    "",
    "create_time desc",
    "name",
    "name desc, id",
    "update_time",
    "task_type",
    "task_type desc, name desc",
)
DEFS = (
    lambda item: int(item.name) if item.name.isdecimal() else -1,
    insert_def,
    lambda client, number: delete_def(client, f"def-{number}"),
)


async def change_def(client: Client, number: int, to: int) -> None:
    await update_def(client, TaskDef(id=f"def-{number}", task_type=str(to % 2 + 1)))


async def change_template(client: Client, number: int, to: int) -> None:
    template = TaskTemplate(id=f"template-{number}", task_type=str(to % 2 + 1))
    await update_template(client, template)


async def change_run(client: Client, number: int, to: int) -> None:
    run = f"run-{number}"
    request = UpdateTaskRecordRequest(task_record=TaskRecord(id=run, priority=to))
    await client.records.UpdateTaskRecord(request)
    await start(client, run)


KINDS = {
    "definitions": Kind(
        lambda c: c.definitions.ListTaskDefs, ListTaskDefsRequest(), *DEFS, ORDERS, change_def
    ),
    "definitions by two filters": Kind(
        lambda c: c.definitions.ListTaskDefs,
        ListTaskDefsRequest(filter=TaskDefFilter(labels={"odd": "1"}, task_types=["", "1", "2"])),
        *DEFS,
        ORDERS,
        change_def,
    ),
    "definitions by a part of their name": Kind(
        lambda c: c.definitions.ListTaskDefs,
        ListTaskDefsRequest(filter=TaskDefFilter(name_contains="0")),
        *DEFS,
        ORDERS,
        change_def,
    ),
    "templates": Kind(
        lambda c: c.definitions.ListTaskTemplates,
        ListTaskTemplatesRequest(),
        numbered,
        insert_template,
        lambda c, number: delete_template(c, f"template-{number}"),
        ORDERS,
        change_template,
    ),
    "versions": Kind(
        lambda c: c.definitions.ListTaskDefVersions,
        ListTaskDefVersionsRequest(id=DEF),
        lambda item: int(item.description or -1),
        lambda c, number: update_def(c, TaskDef(id=DEF, description=str(number))),
        None,
        ("", "version"),
    ),
    "versions of a template": Kind(
        lambda c: c.definitions.ListTaskTemplateVersions,
        ListTaskTemplateVersionsRequest(id=TEMPLATE),
        lambda item: int(item.description or -1),
        lambda c, number: update_template(c, TaskTemplate(id=TEMPLATE, description=str(number))),
        None,
        ("", "version"),
    ),
    "runs": Kind(
        lambda c: c.records.ListTaskRecords,
        ListTaskRecordsRequest(),
        lambda item: int(item.external_id or -1),
        lambda c, number: create_run(
            c, DEF, id=f"run-{number}", external_id=str(number), priority=number % 3
        ),
        lambda c, number: c.records.DeleteTaskRecord(
            DeleteTaskRecordRequest(id=f"run-{number}", force=True)
        ),
        ("", "create_time", "priority", "priority desc, id", "start_time", "end_time desc"),
        change_run,
    ),
    "blocks": Kind(
        lambda c: c.records.ListBlockRecords,
        ListBlockRecordsRequest(task_record_id=RUN),
        lambda item: int(item.block_id),
        lambda c, number: report(c, RUN, block(str(number))),
        None,
        ("", "first_seq desc"),
    ),
    "events": Kind(
        lambda c: c.records.ListTaskRecordEvents,
        ListTaskRecordEventsRequest(task_record_id=RUN),
        lambda item: int(item.block_record.block_id or -1),
        lambda c, number: report(c, RUN, block(str(number))),
        None,
    ),
    "entries": Kind(
        lambda c: c.cache.ListDataCache,
        ListDataCacheRequest(task_record_id=RUN),
        lambda item: int(item.key),
        lambda c, number: set_entry(c, RUN, f"{number:03}", int_value=number),
        lambda c, number: delete_entry(c, RUN, f"{number:03}"),
    ),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=12, deadline=None, phases=PHASES)
@given(data=st.data())
async def test_what_comes_and_goes_neither_repeats_nor_hides(
    target: str, kind: Kind, data: st.DataObject
) -> None:
    numbers = iter(data.draw(st.permutations(range(1, 40))))
    async with connect(target, tenant=f"t-{uuid.uuid4()}", bare=True) as client:
        if kind.insert not in {insert_def, insert_template}:
            await create_def(client, "of runs", id=DEF)
            await create_template(client, "of none", id=TEMPLATE)
            await running(client, DEF, id=RUN)
        there = [next(numbers) for _ in range(data.draw(st.integers(3, 7)))]
        for number in there:
            await kind.insert(client, number)
        request = type(kind.request)()
        request.CopyFrom(kind.request)
        request.page_size = data.draw(st.integers(1, 3))
        if len(kind.orders) > 1:
            request.order_by = data.draw(st.sampled_from(kind.orders))
        stayed = {*await everything(client, kind)}
        found, changed = list[int](), set[int]()
        while True:
            items, request.page_token = await page(client, kind, request)
            found += items
            if not request.page_token:
                break
            assert len(found) < 100, "it goes in a circle"
            for _ in range(data.draw(st.integers(0, 2))):
                if kind.delete and data.draw(st.booleans()):
                    gone = there.pop(data.draw(st.integers(0, len(there) - 1)))
                    await kind.delete(client, gone)
                    stayed.discard(gone)
                if kind.change and len(changed) < 3 and data.draw(st.booleans()):
                    changed.add(await change_one(client, kind, data, there))
                if (new := next(numbers, None)) is not None:
                    there.append(new)
                    await kind.insert(client, new)
    ours = [number for number in found if number >= 0 and number not in changed]
    assert len(ours) == len({*ours}), "nothing comes twice but what was changed"
    assert stayed - changed <= {*ours}, "nothing that stayed as it was is skipped"


async def change_one(client: Client, kind: Kind, data: st.DataObject, there: list[int]) -> int:
    assert kind.change
    number = there[data.draw(st.integers(0, len(there) - 1))]
    await kind.change(client, number, data.draw(st.integers(0, 3)))
    return number


async def page(client: Client, kind: Kind, request: Any) -> tuple[list[int], str]:
    answer = await kind.list_(client)(request)
    (items,) = [value for field, value in answer.ListFields() if field.is_repeated] or [[]]
    return [kind.number(item) for item in items], answer.next_page_token


async def everything(client: Client, kind: Kind) -> list[int]:
    """What the list has at first, read at once."""
    items, token = await page(client, kind, kind.request)
    assert not token
    return [number for number in items if number >= 0]
