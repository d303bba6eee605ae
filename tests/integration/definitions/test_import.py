"""ImportTaskDefs: what becomes of each item, and of the resource that it is a version of."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import (
    ImportTaskDefsOptions,
    ImportTaskDefsRequest,
    ImportTaskDefsResponse,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import (
    create_def,
    create_whole_def,
    delete_def,
    get_def,
    json_object,
    update_def,
)
from tests.support.definition_calls import (
    FAIL,
    OVERWRITE,
    SKIP,
    create_template,
    export,
    get_template,
    import_,
    item,
    items,
    versions_of,
)
from tests.support.refusals import refusal
from vwed.client import Client, connect
from vwed_grpc.services import import_stream

DRAFT = TaskDefStatus.TASK_DEF_STATUS_DRAFT
ENABLED = TaskDefStatus.TASK_DEF_STATUS_ENABLED


def version(id_: str, number: int, **given: Any) -> TaskDef:
    return TaskDef(id=id_, name=given.pop("name", id_), version=number, **given)


def counts(answer: ImportTaskDefsResponse) -> tuple[int, int, int]:
    return answer.created, answer.updated, answer.skipped


def errors(answer: ImportTaskDefsResponse) -> list[tuple[int, str, str, int, str]]:
    return [(e.index, e.kind, e.id, e.version, e.reason) for e in answer.errors]


async def test_an_absent_id_is_created_with_its_version_numbers(client: Client) -> None:
    assert (await refusal(get_def(client, "a", 5))).code == "NOT_FOUND"  # and remembered so
    answer = await import_(
        client,
        version("a", 4, description="four", change_note="note", config=json_object(n=4)),
        version(
            "a", 5, status=DRAFT, task_template_id="t", task_template_version=2, labels={"z": ""}
        ),
    )
    assert (counts(answer), list(answer.errors)) == ((1, 0, 0), [])
    found = await get_def(client, "a")
    assert (found.version, found.status, dict(found.labels)) == (5, DRAFT, {"z": ""})
    assert (found.task_template_id, found.task_template_version) == ("t", 2)
    assert (found.created_by, found.config) == ("tester", json_object())
    assert found.create_time == found.update_time
    assert found.etag
    fourth, fifth = await versions_of(client, "a")
    assert (fourth.description, fourth.change_note) == ("four", "note")
    assert (fourth.config, fourth.created_by) == (json_object(n=4), "tester")
    assert await get_def(client, "a", 4) == fourth
    assert await get_def(client, "a", 5) == fifth
    assert (await update_def(client, TaskDef(id="a", description="six"))).version == 6


async def test_an_item_without_status_or_version_is_enabled_at_version_1(client: Client) -> None:
    assert counts(await import_(client, TaskDef(id="a", name="a"))) == (1, 0, 0)
    found = await get_def(client, "a")
    assert (found.status, found.version) == (ENABLED, 1)


async def test_what_is_output_only_is_not_taken_from_an_item(client: Client) -> None:
    given = version("a", 1, created_by="mallory", etag="mine")
    given.delete_time.GetCurrentTime()
    given.create_time.seconds = 1
    await import_(client, given)
    found = await get_def(client, "a")
    assert found.created_by == "tester"
    assert found.etag != "mine"
    assert found.create_time.seconds > 1
    assert not found.HasField("delete_time")


async def test_templates_are_imported_as_definitions_are(client: Client) -> None:
    schema = json_object(properties={"to": {}})
    first = TaskTemplate(id="t", name="t", version=1, parameters_schema=schema)
    second = TaskTemplate(id="t", name="t2", version=2, config=json_object(a="${params.to}"))
    second.parameters_schema.CopyFrom(schema)
    assert counts(await import_(client, first, second)) == (1, 0, 0)
    assert (await get_template(client, "t")).name == "t2"
    assert (await get_template(client, "t", 1)).parameters_schema == schema
    second.description = "new"
    assert counts(await import_(client, second, conflict=OVERWRITE)) == (0, 1, 0)
    assert (await get_template(client, "t")).version == 3


async def test_skip_keeps_what_is_there(client: Client) -> None:
    made = await create_whole_def(client)
    gone = await delete_def(client, (await create_def(client, "gone", id="gone")).id)
    answer = await import_(client, version(made.id, 1), version("gone", 1), conflict=SKIP)
    assert (counts(answer), list(answer.errors)) == ((0, 0, 2), [])
    assert await get_def(client, made.id) == made
    assert await get_def(client, "gone") == gone


async def test_overwrite_appends_the_newest_content_as_the_next_version(client: Client) -> None:
    made = await create_whole_def(client)
    answer = await import_(
        client,
        version(made.id, 7, description="seven"),
        version(made.id, 8, description="eight", change_note="note", status=DRAFT),
        conflict=OVERWRITE,
    )
    assert (counts(answer), list(answer.errors)) == ((0, 1, 0), [])
    found = await get_def(client, made.id)
    assert (found.version, found.description, found.change_note) == (2, "eight", "note")
    assert (found.status, found.create_time) == (made.status, made.create_time)
    assert found.labels == {}
    assert found.etag != made.etag
    kept, _ = await versions_of(client, made.id)
    assert (kept.config, kept.labels) == (made.config, made.labels)


async def test_overwrite_with_the_same_content_writes_nothing(client: Client) -> None:
    made = await create_whole_def(client)
    answer = await import_(client, *items(await export(client)), conflict=OVERWRITE)
    assert counts(answer) == (0, 0, 1)
    assert await get_def(client, made.id) == made


async def test_overwrite_does_not_wake_what_is_deleted(client: Client) -> None:
    gone = await delete_def(client, (await create_def(client, id="gone")).id)
    answer = await import_(client, version("gone", 1), version("b", 1), conflict=OVERWRITE)
    assert counts(answer) == (1, 0, 0)
    assert errors(answer) == [(0, "task_def", "gone", 1, "TASK_DEF_DELETED")]
    assert await get_def(client, "gone") == gone


async def test_fail_stops_at_the_first_conflict_and_earlier_items_stay(client: Client) -> None:
    made = await create_def(client, id="b")
    sent = [version("a", 1), version("a", 2), version("b", 1), version("b", 2), version("c", 1)]
    answer = await import_(client, *sent, conflict=FAIL)
    assert counts(answer) == (1, 0, 0)
    assert errors(answer) == [(3, "task_def", "b", 2, "ID_TAKEN")]
    assert (await get_def(client, "a")).version == 2
    assert await get_def(client, "b") == made
    assert (await refusal(get_def(client, "c"))).code == "NOT_FOUND"


@pytest.mark.parametrize("conflict", [SKIP, OVERWRITE, FAIL])
async def test_a_name_that_another_live_id_has_is_that_items_error(
    client: Client, conflict: ImportTaskDefsOptions.Conflict.ValueType
) -> None:
    await create_def(client, "held", id="holder")
    await create_template(client, "free among definitions")
    answer = await import_(
        client,
        version("a", 1, name="held"),
        version("b", 1, name="held"),
        version("b", 2),  # the name that it had does not count
        version("c", 1, name="free among definitions"),
        conflict=conflict,
    )
    assert counts(answer) == (2, 0, 0)
    assert errors(answer) == [(0, "task_def", "a", 1, "NAME_TAKEN")]
    assert (await refusal(get_def(client, "a"))).code == "NOT_FOUND"


def bad_versions() -> list[tuple[TaskDef | TaskTemplate, str]]:
    schema = json_object(type="thing")
    placeholder = json_object(a="${params.no}")
    return [
        (TaskDef(id="x"), "task_def.name"),
        (TaskDef(name="x"), "task_def.id"),
        (TaskDef(id="no id", name="x"), "task_def.id"),
        (version("x", -1), "task_def.version"),
        (version("x", 2**31 - 1), "task_def.version"),
        (version("x", 1, labels={"Zone": ""}), 'task_def.labels["Zone"]'),
        (version("x", 1, name="a\0"), "task_def.name"),
        (version("x", 1, config=json_object(blocks=1)), "task_def.config.blocks"),
        (version("x", 1, config=json_object(a=float("nan"))), "task_def.config.a"),
        (version("x", 1, task_template_id="no id"), "task_def.task_template_id"),
        (version("x", 1, task_template_version=-1), "task_def.task_template_version"),
        (version("x", 1, status=99), "task_def.status"),
        (
            TaskTemplate(id="x", name="x", parameters_schema=schema),
            "task_template.parameters_schema.type",
        ),
        (TaskTemplate(id="x", name="x", config=placeholder), "task_template.config.a"),
    ]


@pytest.mark.parametrize(("bad", "field"), bad_versions())
async def test_a_bad_item_is_an_error_and_the_others_go_on(
    client: Client, bad: TaskDef | TaskTemplate, field: str
) -> None:
    answer = await import_(client, version("a", 1), bad, version("z", 1))
    assert counts(answer) == (2, 0, 0)
    (error,) = answer.errors
    assert (error.index, error.reason) == (1, "INVALID_FIELD")
    assert error.message.startswith(f"{field}: ")
    assert [each.id for each in items(await export(client))] == ["a", "z"]


@pytest.mark.parametrize("bad", [0, 1, 2])
async def test_of_what_has_a_bad_version_nothing_is_written(client: Client, bad: int) -> None:
    sent = [version("a", n + 1) for n in range(3)]
    sent[bad].task_type = "x" * 129
    answer = await import_(client, *sent)
    assert counts(answer) == (0, 0, 0)
    newest = 1 if bad == 2 else 2
    assert errors(answer) == [
        (bad, "task_def", "a", bad + 1, "INVALID_FIELD"),
        (newest, "task_def", "a", newest + 1, "VERSION_REFUSED"),
    ]
    assert await export(client) == []


@pytest.mark.parametrize("numbers", [(1, 3), (4, 2), (1, 1), (3, 0, 3)])
async def test_versions_that_do_not_follow_each_other_are_refused(
    client: Client, numbers: tuple[int, ...]
) -> None:
    answer = await import_(client, *(version("a", n) for n in numbers))
    assert counts(answer) == (0, 0, 0)
    assert answer.errors[0].reason == "INVALID_FIELD"
    assert await export(client) == []


async def test_validate_only_tells_what_would_be_and_writes_nothing(client: Client) -> None:
    made = await create_whole_def(client)
    await create_def(client, "held", id="holder")
    sent: list[TaskDef | TaskTemplate] = [
        TaskTemplate(id="t", name="t"),
        version("a", 1),
        version("a", 2),
        version("b", 1, name="held"),
        version(made.id, 1, name="new"),
        version("c", 1, config=json_object(blocks=1)),
        version("d", 1, name="a"),
    ]
    answers = [
        await import_(client, *sent, conflict=OVERWRITE, validate_only=validate_only)
        for validate_only in (True, True, False)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert counts(answers[0]) == (2, 1, 0)
    assert [error.index for error in answers[0].errors] == [3, 5, 6]


async def test_options_stand_in_the_first_message_alone(client: Client) -> None:
    options = ImportTaskDefsRequest(options=ImportTaskDefsOptions(conflict=SKIP))
    one = item(version("a", 1))
    for sent, kept in (
        ([], 0),
        ([one], 0),
        ([ImportTaskDefsRequest()], 0),
        ([ImportTaskDefsRequest(options=ImportTaskDefsOptions())], 0),
        ([options, one, item(version("b", 1)), options], 0),
    ):
        refused = await refusal(client.definitions.ImportTaskDefs(iter(sent)))
        assert refused.code == "INVALID_ARGUMENT"
        assert len(await export(client)) == kept
    answer = await client.definitions.ImportTaskDefs(iter([options]))
    assert answer == ImportTaskDefsResponse()


async def test_a_message_without_an_item_is_taken_for_a_version_of_what_it_follows(
    client: Client,
) -> None:
    sent = [ImportTaskDefsRequest(options=ImportTaskDefsOptions(conflict=SKIP))]
    sent += [item(version("a", 1)), ImportTaskDefsRequest(), item(version("z", 1))]
    answer = await client.definitions.ImportTaskDefs(iter(sent))
    assert counts(answer) == (1, 0, 0)
    assert errors(answer) == [
        (1, "task_def", "a", 0, "INVALID_FIELD"),
        (0, "task_def", "a", 1, "VERSION_REFUSED"),
    ]


async def test_an_import_that_is_cut_writes_nothing_and_can_be_run_again(
    client: Client, target: str, tenant: str
) -> None:
    sent = [version(id_, n, description=str(n)) for id_ in ("a", "b", "c", "d") for n in (1, 2, 3)]
    all_sent = asyncio.Event()

    async def cut() -> AsyncIterator[ImportTaskDefsRequest]:
        yield ImportTaskDefsRequest(options=ImportTaskDefsOptions(conflict=SKIP))
        for each in sent[:8]:  # the last of them is the second version of "c"
            yield item(each)
        all_sent.set()
        await asyncio.Event().wait()

    async with connect(target, tenant=tenant, bare=True) as other:
        call = other.definitions.ImportTaskDefs(cut())
        await asyncio.wait_for(all_sent.wait(), 10)
        call.cancel()
    await asyncio.sleep(0.2)
    assert await export(client) == []
    assert counts(await import_(client, *sent)) == (4, 0, 0)
    assert [(each.id, each.version) for each in items(await export(client))] == [
        (each.id, each.version) for each in sent
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_the_items_may_come_in_any_order(client: Client, order: tuple[int, ...]) -> None:
    sent = [version("a", 1), version("a", 2), version("a", 3, name="b"), version("b", 1, name="c")]
    answer = await import_(client, *(sent[n] for n in order))
    assert (counts(answer), list(answer.errors)) == ((2, 0, 0), [])
    assert [(each.id, each.version, each.name) for each in items(await export(client))] == [
        (each.id, each.version, each.name) for each in sent
    ]


@pytest.mark.parametrize("validate_only", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations("abcd")))
async def test_names_that_were_exchanged_are_what_the_file_says(
    client: Client, order: tuple[str, ...], *, validate_only: bool
) -> None:
    for id_ in "abc":
        await create_def(client, f"of {id_}", id=id_)
    names = {"a": "of b", "b": "of c", "c": "of a", "d": "new"}
    if order[0] > "b":  # no circle: one of them gets a name that nobody had, and gives its own
        names |= {"c": "new", "d": "of a"}
    sent = [version(id_, 1, name=names[id_]) for id_ in order]
    answer = await import_(client, *sent, conflict=OVERWRITE, validate_only=validate_only)
    assert (counts(answer), list(answer.errors)) == ((1, 3, 0), [])
    if not validate_only:
        assert {each: (await get_def(client, each)).name for each in names} == names
        assert not (await get_def(client, "a")).HasField("delete_time")
        assert counts(await import_(client, *sent, conflict=OVERWRITE)) == (0, 0, 4)


@pytest.mark.parametrize("validate_only", [True, False])
async def test_of_names_that_cannot_be_exchanged_each_is_its_items_error(
    client: Client, *, validate_only: bool
) -> None:
    for id_ in "abcx":
        await create_def(client, f"of {id_}", id=id_)
    await delete_def(client, "c")
    sent = [
        version("d", 1, name="of a"),
        version("a", 1, name="of b"),
        version("b", 1, name="of x"),  # which is not in the file
        version("c", 1, name="of c"),
        version("e", 1, name="of c"),
    ]
    answer = await import_(client, *sent, conflict=OVERWRITE, validate_only=validate_only)
    assert counts(answer) == (1, 0, 0)
    assert errors(answer) == [
        (0, "task_def", "d", 1, "NAME_TAKEN"),
        (1, "task_def", "a", 1, "NAME_TAKEN"),
        (2, "task_def", "b", 1, "NAME_TAKEN"),
        (3, "task_def", "c", 1, "TASK_DEF_DELETED"),
    ]
    if not validate_only:
        assert [(await get_def(client, id_)).name for id_ in "abx"] == ["of a", "of b", "of x"]


async def test_an_import_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # The last one is refused, or Python's client may tell of what it could not send after that.
    for limit, ids in {"MAX_ITEMS": "abc", "MAX_BYTES": "a"}.items():
        with monkeypatch.context() as patch:
            patch.setattr(import_stream, limit, 2)
            refused = await refusal(import_(client, *(version(id_, 1) for id_ in ids)))
        assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "IMPORT_TOO_LARGE")
    assert await export(client) == []
