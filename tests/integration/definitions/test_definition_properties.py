"""Whatever is done to a definition, in whatever order, what was written stays."""

import uuid
from typing import Any

from google.protobuf.struct_pb2 import Struct
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import UndeleteTaskDefRequest

from tests.support.calls import create_def, delete_def, get_def, json_object, update_def
from tests.support.definition_calls import (
    changes,
    create_template,
    instantiate,
    rollback,
    versions_of,
)
from tests.support.literal_changes import applied
from tests.support.literal_changes import content as json_content
from vwed.client import Client, connect

CONTENT = ("name", "description", "task_type", "config", "labels")

PHASES = [Phase.reuse, Phase.generate]
"""Not shrunk: each try costs calls, and a fault names its steps."""

LEAVES: Any = st.sampled_from(["", "x", 1, 2.5, True, None])
BLOCK_IDS = ["a", "b", "c", "d", "e"]


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A tree of some blocks in any order, with members of its own."""
    config: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["k", "l.m"]), LEAVES))
    roots: list[Any] = []
    places = [roots]
    for block_id in draw(st.permutations(BLOCK_IDS))[: draw(st.integers(0, 5))]:
        block = {"id": block_id, "type": "if", "inputs": {"to": draw(LEAVES)}}
        siblings = draw(st.sampled_from(places))
        siblings.insert(draw(st.integers(0, len(siblings))), block)
        if draw(st.booleans()):
            branches: dict[str, list[Any]] = {"then": [], "else": []}
            block["children"] = branches
            places += branches.values()
    return {**config, "blocks": roots}


UPDATES = st.one_of(
    st.builds(lambda text: {"description": text}, st.sampled_from(["", "one", "two"])),
    st.builds(lambda zone: {"labels": {"zone": zone}}, st.sampled_from("AB")),
    st.builds(lambda config: {"config": config}, configs()),
)
STEPS = st.lists(UPDATES | st.integers(1, 9) | st.just("delete"), min_size=1, max_size=8)
"""An update; a rollback, to that version or one that there is; or away and back."""


def content(task_def: TaskDef) -> list[Any]:
    return [getattr(task_def, field) for field in CONTENT]


async def step(client: Client, written: list[TaskDef], what: Any) -> TaskDef:
    id_ = written[0].id
    if what == "delete":
        await delete_def(client, id_)
        return await client.definitions.UndeleteTaskDef(UndeleteTaskDefRequest(id=id_))
    if isinstance(what, int):
        to = written[what % len(written)]
        back = await rollback(client, id_, to.version, reason=f"back to {to.version}")
        assert content(back) == content(to)
        return back
    if "config" in what:
        what = {"config": json_object(**what["config"])}
    return await update_def(client, TaskDef(id=id_, change_note="a step", **what), *what)


@settings(max_examples=30, deadline=None, phases=PHASES)
@given(steps=STEPS)
async def test_every_version_stays_readable_and_as_it_was(target: str, steps: list[Any]) -> None:
    async with connect(target, tenant=f"t-{uuid.uuid4()}", actor="tester", bare=True) as client:
        newest = await create_def(client, description="first")
        written = [newest]
        for what in steps:
            answer = await step(client, written, what)
            if answer.version > newest.version:
                written.append(answer)
            else:
                assert content(answer) == content(newest)
            newest = answer
        assert [each.version for each in written] == list(range(1, len(written) + 1))
        assert await get_def(client, newest.id) == newest
        listed = await versions_of(client, newest.id)
        for expected, found in zip(written, listed, strict=True):
            assert await get_def(client, newest.id, expected.version) == found
            assert content(found) == content(expected)
            assert found.update_time == expected.update_time
            assert (found.created_by, found.change_note) == ("tester", expected.change_note)


@settings(max_examples=30, deadline=None, phases=PHASES)
@given(before=configs(), after=configs())
async def test_the_changes_from_a_to_b_applied_to_a_give_b(
    target: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    async with connect(target, tenant=f"t-{uuid.uuid4()}", bare=True) as client:
        a = await create_def(client, config=json_object(**before), labels={"zone": "A"})
        b = await update_def(client, TaskDef(id=a.id, description="b", config=json_object(**after)))
        there, back = await changes(client, a.id, 1, 2), await changes(client, a.id, 2, 1)
        assert applied(a, there) == json_content(b)
        assert applied(b, back) == json_content(a)


PLACEHOLDERS = st.sampled_from(
    ["${params.a}", "to ${params.b}", "$${params.a}", "${params.a}${params.b}"]
)


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(
    config=st.dictionaries(st.sampled_from("klmn"), PLACEHOLDERS | configs(), max_size=4),
    a=LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(st.sampled_from("xyz"), LEAVES),
    b=LEAVES,
    overrides=st.dictionaries(st.sampled_from("klz"), LEAVES),
)
async def test_instantiating_is_deterministic(
    target: str, config: dict[str, Any], a: Any, b: Any, overrides: dict[str, Any]
) -> None:
    async with connect(target, tenant=f"t-{uuid.uuid4()}", bare=True) as client:
        template = await create_template(
            client,
            config=json_object(**config),
            parameters_schema=json_object(properties={"a": {}, "b": {"default": 7}}),
        )
        parameters = json_object(a=a, b=b)
        made = [
            await instantiate(client, template.id, parameters, json_object(**overrides), id=id_)
            for id_ in ("one", "two")
        ]
        kept = [(await get_def(client, each.id)).config for each in made]
    assert made[0].config == made[1].config
    assert len({raw(each) for each in (*kept, *(m.config for m in made))}) == 1


def raw(config: Struct) -> bytes:
    return config.SerializeToString(deterministic=True)
