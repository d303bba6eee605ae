"""Export, import into an empty database, export: the same bytes, whatever the site is."""

import uuid
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import DisableTaskDefRequest
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.integration.definitions.test_export import raw_export
from tests.support.calls import create_def, delete_def, json_object, update_def
from tests.support.definition_calls import (
    OVERWRITE,
    create_template,
    delete_template,
    export,
    import_,
    instantiate,
    items,
    rollback,
    update_template,
)
from vwed.client import Client, connect

PHASES = [Phase.reuse, Phase.generate]
"""Not shrunk: each try costs calls, and a fault names its steps."""

IDS = st.sampled_from(["a", "B", "a.1"])
TEXTS = st.text(st.sampled_from('aZ "\\\n\u2028é箱🚚\x7f'), max_size=6)
LABELS = st.dictionaries(st.sampled_from(["zone", "line.1", "x-y"]), TEXTS)
CONFIGS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    TEXTS, TEXTS | st.sampled_from([0, -0.0, 1e300, 0.1, None, True, [], {}]), max_size=3
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["def", "def", "template", "instance", "rollback", "disable", "delete"]),
        IDS,
        st.fixed_dictionaries(
            {},
            optional={
                "description": TEXTS, "task_type": TEXTS, "change_note": TEXTS, "labels": LABELS,
            },
        ),
        CONFIGS,
    ),
    min_size=1,
    max_size=14,
)  # fmt: skip


class Site:
    """What a random life leaves behind."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.defs: dict[str, TaskDef] = {}
        self.templates: dict[str, TaskTemplate] = {}
        self.gone: set[str] = set()

    async def step(self, what: str, id_: str, given: dict[str, Any], config: Any) -> None:
        if id_ in self.gone:
            return  # a deleted one's id stays taken
        given = {**given, "config": json_object(**config)}
        if what in {"def", "template"}:
            await self._write(what, id_, given)
        elif what == "instance" and id_ in self.templates and id_ not in self.defs:
            given.pop("config")
            self.defs[id_] = await instantiate(self.client, id_, id=id_, **given)
        elif what == "delete":
            await self._delete(id_)
        elif what == "rollback" and id_ in self.defs:
            version = 1 + len(given) % self.defs[id_].version
            self.defs[id_] = await rollback(self.client, id_, version, reason="back")
        elif what == "disable" and id_ in self.defs:
            await self.client.definitions.DisableTaskDef(DisableTaskDefRequest(id=id_))

    async def _write(self, what: str, id_: str, given: dict[str, Any]) -> None:
        if what == "template":
            if id_ in self.templates:
                written = await update_template(self.client, TaskTemplate(id=id_, **given))
            else:
                written = await create_template(self.client, f"of {id_}", id=id_, **given)
            self.templates[id_] = written
        elif id_ in self.defs:
            self.defs[id_] = await update_def(self.client, TaskDef(id=id_, **given))
        else:
            self.defs[id_] = await create_def(self.client, f"名 {id_}", id=id_, **given)

    async def _delete(self, id_: str) -> None:
        if self.defs.pop(id_, None):
            await delete_def(self.client, id_)
            self.gone.add(id_)
        if self.templates.pop(id_, None):
            await delete_template(self.client, id_)
            self.gone.add(id_)


@settings(max_examples=12, deadline=None, phases=PHASES)
@given(steps=STEPS)
async def test_an_export_imported_into_an_empty_database_exports_the_same_bytes(
    target: str, steps: list[Any]
) -> None:
    tenants = [f"t-{uuid.uuid4()}" for _ in range(2)]
    async with connect(target, tenant=tenants[0], bare=True) as client:
        site = Site(client)
        for each in steps:
            await site.step(*each)
        exported = await export(client)
    before = await raw_export(target, tenants[0])
    assert [each.SerializeToString(deterministic=True) for each in exported] == before
    async with connect(target, tenant=tenants[1], actor="importer", bare=True) as empty:
        answer = await import_(empty, *items(exported))
        assert (answer.created, len(answer.errors)) == (len(site.defs) + len(site.templates), 0)
        assert await raw_export(target, tenants[1]) == before
        again = await import_(empty, *items(exported), conflict=OVERWRITE)
        assert (again.created, again.updated, len(again.errors)) == (0, 0, 0)
    assert await raw_export(target, tenants[1]) == before
