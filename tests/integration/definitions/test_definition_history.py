"""A definition's versions: listed, read, compared, and brought back."""

import pytest
from google.protobuf.json_format import MessageToDict
from vwed.v1.common_pb2 import View
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import ListTaskDefVersionsRequest, TaskDefChange

from tests.support.calls import (
    create_def,
    create_run,
    create_whole_def,
    delete_def,
    get_def,
    json_object,
    update_def,
)
from tests.support.definition_calls import changes, rollback, versions_of
from tests.support.refusals import refusal
from tests.support.steps import get
from vwed.client import Client, connect

CONTENT = ("name", "description", "task_type", "config", "labels")


async def with_versions(client: Client) -> TaskDef:
    """The first of three versions."""
    made = await create_whole_def(client)
    await update_def(client, TaskDef(id=made.id, description="second", change_note="two"))
    await update_def(client, TaskDef(id=made.id, config=json_object(), labels={}), "config")
    return made


async def test_versions_are_listed_as_get_answers_each(client: Client) -> None:
    made = await with_versions(client)
    listed = await versions_of(client, made.id)
    assert listed == [await get_def(client, made.id, version) for version in (1, 2, 3)]
    for version in listed:
        assert not version.status
        assert not version.etag
        assert not version.HasField("delete_time")
        assert (version.id, version.create_time) == (made.id, made.create_time)
    times = [version.update_time.ToNanoseconds() for version in listed]
    assert times[0] == made.update_time.ToNanoseconds()
    assert times == sorted(set(times))


async def test_the_newest_version_is_first_and_basic_views_have_no_config(client: Client) -> None:
    made = await with_versions(client)
    for view in (View.VIEW_UNSPECIFIED, View.VIEW_BASIC):
        request = ListTaskDefVersionsRequest(id=made.id, view=view, include_total=True)
        answer = await client.definitions.ListTaskDefVersions(request)
        assert [version.version for version in answer.task_def_versions] == [3, 2, 1]
        assert answer.total_size == 3
        assert not any(version.HasField("config") for version in answer.task_def_versions)
        assert answer.task_def_versions[1].change_note == "two"


async def test_versions_come_in_pages(client: Client) -> None:
    made = await with_versions(client)
    request = ListTaskDefVersionsRequest(id=made.id, page_size=2)
    first = await client.definitions.ListTaskDefVersions(request)
    # A version written meanwhile is newer than what was read: it shifts nothing.
    await update_def(client, TaskDef(id=made.id, description="fourth"))
    request.page_token = first.next_page_token
    last = await client.definitions.ListTaskDefVersions(request)
    pages = [[version.version for version in a.task_def_versions] for a in (first, last)]
    assert pages == [[3, 2], [1]]
    assert not last.next_page_token


async def test_the_history_of_a_deleted_one_can_be_read(client: Client) -> None:
    made = await with_versions(client)
    versions, changed = await versions_of(client, made.id), await changes(client, made.id, 1, 2)
    await delete_def(client, made.id)
    assert await versions_of(client, made.id) == versions
    assert await changes(client, made.id, 1, 2) == changed
    refused = await refusal(rollback(client, made.id, 1))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "TASK_DEF_DELETED")
    assert (await get_def(client, made.id)).version == 3


async def test_what_is_not_there_has_no_history(client: Client) -> None:
    for call in (
        versions_of(client, "nowhere"),
        rollback(client, "nowhere", 1),
        changes(client, "nowhere", 1, 2),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == ("NOT_FOUND", "TASK_DEF_NOT_FOUND")


async def test_a_rollback_makes_an_old_content_the_newest_version(
    client: Client, target: str, tenant: str
) -> None:
    made = await with_versions(client)
    before = await get_def(client, made.id)
    async with connect(target, tenant=tenant, actor="ben", bare=True) as ben:
        after = await rollback(ben, made.id, 1, reason="it stood still", etag=before.etag)
    assert after == await get_def(client, made.id)
    for field in CONTENT:
        assert getattr(after, field) == getattr(made, field), field
    assert (after.version, after.created_by) == (4, "ben")
    assert (after.change_note, after.status) == ("it stood still", made.status)
    assert after.etag not in {made.etag, before.etag}
    assert len(await versions_of(client, made.id)) == 4


async def test_a_rollback_to_the_present_content_writes_nothing(client: Client) -> None:
    made = await with_versions(client)
    before = await get_def(client, made.id)
    assert await rollback(client, made.id, 3, reason="again") == before
    await rollback(client, made.id, 1)
    again = await rollback(client, made.id, 1)
    assert again == await get_def(client, made.id)
    assert again.version == 4


async def test_a_rollback_is_refused_whole(client: Client) -> None:
    made = await with_versions(client)
    other = await create_def(client, "another")
    await update_def(client, TaskDef(id=other.id, name="renamed"))
    taken = await create_def(client, "another")
    for call, code, reason in (
        (rollback(client, made.id, 4), "NOT_FOUND", "TASK_DEF_VERSION_NOT_FOUND"),
        (rollback(client, made.id, 1, etag="another"), "ABORTED", "ETAG_MISMATCH"),
        (rollback(client, other.id, 1), "ALREADY_EXISTS", "NAME_TAKEN"),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (code, reason)
    assert (await get_def(client, made.id)).version == 3
    assert (await get_def(client, other.id)).version == 2
    assert (await get_def(client, taken.id)) == taken


async def test_a_run_keeps_the_version_it_began_with(client: Client) -> None:
    made = await create_whole_def(client)
    run = await create_run(client, made.id)
    await update_def(client, TaskDef(id=made.id, name="renamed", task_type="new"))
    await rollback(client, made.id, 1)
    await delete_def(client, made.id, force=True)
    kept = await get(client, run.id, strong=True)
    assert kept == run
    assert (kept.task_def_version, kept.task_def_name, kept.task_type) == (1, made.name, "old")
    assert (await get_def(client, made.id, kept.task_def_version)).config == made.config


async def test_a_difference_is_told_by_field_and_block_id(client: Client) -> None:
    made = await create_whole_def(client)
    await update_def(
        client,
        TaskDef(
            id=made.id,
            name="new",
            labels={"zone": "B", "line": "1"},
            config=json_object(
                speed=1,
                blocks=[
                    {"id": "b", "type": "lift"},
                    {"id": "a", "type": "for", "children": {"x": [{"id": "c", "type": "y"}]}},
                ],
            ),
        ),
    )
    told = [MessageToDict(change) for change in await changes(client, made.id, 1, 2)]
    block_b, block_c = {"id": "b", "type": "lift"}, {"id": "c", "type": "y"}
    c_in_a = {"parent": "a", "branch": "x", "index": 0}
    first = {"parent": "", "branch": "", "index": 0}
    assert told == [
        {"path": "name", "kind": "KIND_CHANGED", "before": "transport", "after": "new"},
        {"path": "labels.zone", "kind": "KIND_CHANGED", "before": "A", "after": "B"},
        {"path": "config.blocks[b]", "kind": "KIND_ADDED", "after": block_b},
        {"path": "config.blocks[c]", "kind": "KIND_ADDED", "after": block_c},
        {"path": "config.blocks[b]", "kind": "KIND_MOVED", "after": first},
        {"path": "config.blocks[c]", "kind": "KIND_MOVED", "after": c_in_a},
        {
            "path": "config.blocks[a].type",
            "kind": "KIND_CHANGED",
            "before": "drive",
            "after": "for",
        },
    ]
    back = await changes(client, made.id, 2, 1)
    assert {change.kind for change in back} == {
        TaskDefChange.KIND_CHANGED,
        TaskDefChange.KIND_REMOVED,
    }
    assert await changes(client, made.id, 2, 2) == []


async def test_large_ones_are_compared_as_small_ones_are(client: Client) -> None:
    tree = [{"id": f"b{n}", "type": "drive", "name": "a station far away"} for n in range(1_000)]
    made = await create_def(client, config=json_object(blocks=tree))
    tree[500] = {**tree[500], "type": "lift"}
    await update_def(client, TaskDef(id=made.id, config=json_object(blocks=tree)))
    assert [MessageToDict(change) for change in await changes(client, made.id, 1, 2)] == [
        {
            "path": "config.blocks[b500].type",
            "kind": "KIND_CHANGED",
            "before": "drive",
            "after": "lift",
        }
    ]


@pytest.mark.parametrize(("before", "after"), [(1, 9), (9, 1)])
async def test_a_difference_needs_both_versions(client: Client, before: int, after: int) -> None:
    made = await with_versions(client)
    refused = await refusal(changes(client, made.id, before, after))
    assert (refused.code, refused.reason) == ("NOT_FOUND", "TASK_DEF_VERSION_NOT_FOUND")
