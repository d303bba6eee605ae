from collections.abc import Iterator
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from vwed.v1 import task_def_service_pb2 as t
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.bad_requests.request import (
    DEF,
    INVALID,
    LONG_ID,
    MISSING,
    TEMPLATE,
    BadRequest,
)
from tests.support.calls import json_object


def schemas() -> Iterator[BadRequest]:
    """What is no schema, or none that is safe to evaluate."""

    def schema(field: str, **given: Any) -> BadRequest:
        template = TaskTemplate(name="new", parameters_schema=json_object(**given))
        return BadRequest(
            "CreateTaskTemplate",
            t.CreateTaskTemplateRequest(task_template=template),
            INVALID,
            (f"task_template.parameters_schema{field}",),
        )

    def of_a(field: str, **given: Any) -> BadRequest:
        return schema(f".properties.a{field}", properties={"a": given})

    yield schema(".type", type="thing")
    yield schema(".properties", properties=[])
    yield schema(".required", required="a")
    yield schema(".$schema", **{"$schema": "http://json-schema.org/draft-07/schema#"})
    for remote in ("https://example.com/a.json", "file:///etc/passwd", "a.json", "//x/#/a"):
        yield of_a(".$ref", **{"$ref": remote})
    yield of_a(".$ref", **{"$ref": "#/$defs/nothing"})
    yield of_a(".$dynamicRef", **{"$dynamicRef": "#nothing"})
    yield of_a(".$id", **{"$id": "https://json-schema.org/draft/2020-12/schema"})
    for pattern in ("(", "(?=a)b", r"(a)\1", "((a{1000}){1000}){1000}", "a{99999}"):
        yield of_a(".pattern", pattern=pattern)
    yield of_a(".patternProperties.(?!a)", patternProperties={"(?!a)": {}})
    yield schema("", allOf=[{"maxLength": n} for n in range(2_001)])
    yield schema(".a", a=float("nan"))


def placeholders() -> Iterator[BadRequest]:
    def config(field: str, **given: Any) -> BadRequest:
        schema = json_object(properties={"a": {"properties": {"b": {}}}})
        template = TaskTemplate(name="new", config=json_object(**given), parameters_schema=schema)
        return BadRequest(
            "CreateTaskTemplate",
            t.CreateTaskTemplateRequest(task_template=template),
            INVALID,
            (f"task_template.config{field}",),
        )

    yield config(".x", x="${params.b}")
    yield config(".x[1].y", x=["${params.a}", {"y": "to ${params.A}"}])
    yield config(".x", x="${params.}")
    yield config(".x", x="${params.a.b}")
    yield config(".x", x=float("inf"))


def templates() -> Iterator[BadRequest]:
    def create(field: str, **given: Any) -> BadRequest:
        template = TaskTemplate(**{"name": "new", **given})
        request = t.CreateTaskTemplateRequest(task_template=template)
        return BadRequest("CreateTaskTemplate", request, INVALID, (f"task_template.{field}",))

    yield BadRequest(
        "CreateTaskTemplate", t.CreateTaskTemplateRequest(), INVALID, ("task_template",)
    )
    yield create("id", id="no id")
    yield create("name", name="")
    yield create("description", description="é" * 8_193)
    yield create("task_type", task_type="x" * 129)
    yield create('labels["Zone"]', labels={"Zone": "A"})
    yield create("change_note", change_note="x" * 513)

    def update(*fields: str, mask: str = "", **given: Any) -> BadRequest:
        request = t.UpdateTaskTemplateRequest(
            task_template=TaskTemplate(**given), update_mask=FieldMask(paths=[mask] if mask else [])
        )
        return BadRequest("UpdateTaskTemplate", request, INVALID, fields)

    yield update("task_template.id", name="new")
    yield update("task_template.name", id=TEMPLATE, mask="name")
    yield update("task_template.config.to", id=TEMPLATE, mask="parameters_schema")
    yield update("update_mask", id=TEMPLATE, mask="status")
    for request in (
        t.GetTaskTemplateRequest(id="nowhere"),
        t.GetTaskTemplateRequest(id=TEMPLATE, version=9),
        t.DeleteTaskTemplateRequest(id="nowhere"),
        t.UndeleteTaskTemplateRequest(id="nowhere"),
        t.ListTaskTemplateVersionsRequest(id="nowhere"),
    ):
        yield BadRequest(request.DESCRIPTOR.name.removesuffix("Request"), request, MISSING)
    by_sql = t.ListTaskTemplatesRequest(order_by="name; DROP TABLE task_templates")
    yield BadRequest("ListTaskTemplates", by_sql, INVALID, ("order_by",))


def instances() -> Iterator[BadRequest]:
    def instantiate(*fields: str, code: str = INVALID, **given: Any) -> BadRequest:
        given = {"id": TEMPLATE, "task_def": TaskDef(name="new"), **given}
        if "parameters" not in given:
            given["parameters"] = json_object(to="A1")
        request = t.InstantiateTaskTemplateRequest(**given)
        return BadRequest("InstantiateTaskTemplate", request, code, fields)

    yield instantiate("id", id=LONG_ID)
    yield instantiate(id="nowhere", code=MISSING)
    yield instantiate(version=9, code=MISSING)
    yield instantiate("version", version=-1)
    yield instantiate("parameters.to", parameters=json_object())
    yield instantiate("parameters.to", parameters=json_object(to=7))
    # Whose time a backtracking engine would double with every letter.
    yield instantiate("parameters.to", parameters=json_object(to="a" * 50_000 + "!"))
    yield instantiate("parameters.to", parameters=json_object(to="\0"))
    yield instantiate("parameters.n", parameters=json_object(to="A1", n=float("nan")))
    yield instantiate("config.blocks", overrides=json_object(blocks=7))
    yield instantiate("config.blocks[0].id", overrides=json_object(blocks=[{"type": "x"}]))
    yield instantiate("overrides.a", overrides=json_object(a=float("inf")))
    yield instantiate("task_def", task_def=None)
    yield instantiate("task_def.name", task_def=TaskDef())
    yield instantiate("task_def.config", task_def=TaskDef(name="new", config=json_object()))
    yield instantiate("task_def.status", task_def=TaskDef(name="new", status=3))  # type: ignore[arg-type]  # DISABLED
    yield instantiate("request_id", request_id="7")


def histories() -> Iterator[BadRequest]:
    yield BadRequest("RollbackTaskDef", t.RollbackTaskDefRequest(id=DEF), INVALID, ("version",))
    yield BadRequest("RollbackTaskDef", t.RollbackTaskDefRequest(id=DEF, version=9), MISSING)
    long_reason = t.RollbackTaskDefRequest(id=DEF, version=1, reason="x" * 513)
    yield BadRequest("RollbackTaskDef", long_reason, INVALID, ("reason",))
    yield BadRequest(
        "DiffTaskDefVersions",
        t.DiffTaskDefVersionsRequest(id=DEF),
        INVALID,
        ("from_version", "to_version"),
    )
    yield BadRequest(
        "DiffTaskDefVersions",
        t.DiffTaskDefVersionsRequest(id=DEF, from_version=1, to_version=2),
        MISSING,
    )
    for order_by in ("name", "version; SELECT 1", "version desc, version"):
        yield BadRequest(
            "ListTaskDefVersions",
            t.ListTaskDefVersionsRequest(id=DEF, order_by=order_by),
            INVALID,
            ("order_by",),
        )
    yield BadRequest("BatchGetTaskDefs", t.BatchGetTaskDefsRequest(), INVALID, ("ids",))
    too_many = t.BatchGetTaskDefsRequest(ids=[DEF] * 1_001)
    yield BadRequest("BatchGetTaskDefs", too_many, INVALID, ("ids",))
    one_bad = t.BatchGetTaskDefsRequest(ids=[DEF, "no id"])
    yield BadRequest("BatchGetTaskDefs", one_bad, INVALID, ("ids[1]",))
    for request in (
        t.BatchGetTaskDefsRequest(ids=[DEF, "nowhere"]),
        t.EnableTaskDefRequest(id="nowhere"),
        t.DisableTaskDefRequest(id="nowhere"),
        t.UndeleteTaskDefRequest(id="nowhere"),
    ):
        yield BadRequest(request.DESCRIPTOR.name.removesuffix("Request"), request, MISSING)
    for request in (t.EnableTaskDefRequest(), t.DisableTaskDefRequest(id=LONG_ID)):
        yield BadRequest(request.DESCRIPTOR.name.removesuffix("Request"), request, INVALID, ("id",))
    empty = t.ImportTaskDefsRequest()
    yield BadRequest("ImportTaskDefs", empty, INVALID, ("options",))
    no_conflict = t.ImportTaskDefsRequest(options=t.ImportTaskDefsOptions())
    yield BadRequest("ImportTaskDefs", no_conflict, INVALID, ("options.conflict",))
