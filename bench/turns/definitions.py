"""Definitions and templates at their largest."""

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.struct_pb2 import Struct
from vwed.v1 import record_service_pb2 as r
from vwed.v1 import task_def_service_pb2 as t
from vwed.v1.common_pb2 import View
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import TaskRecordStatus
from vwed.v1.task_template_pb2 import TaskTemplate

from bench.turns import contents
from bench.turns.cases import UUID, Case
from bench.turns.seed import DEF, TEMPLATE

FULL = View.VIEW_FULL
By = r.SummarizeTaskRecordsRequest.GroupBy
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
ENDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED


def definitions() -> Iterator[Case]:
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


def templates() -> Iterator[Case]:
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


def schemas() -> Iterator[Case]:
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
