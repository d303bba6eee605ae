"""The example definitions, as the requests that make them; grpcurl takes the same files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, TypeVar

from google.protobuf.json_format import Parse
from google.protobuf.message import Message
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import CreateTaskRecordRequest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    BatchGetTaskDefsRequest,
    CreateTaskDefRequest,
    CreateTaskTemplateRequest,
    InstantiateTaskTemplateRequest,
)

from vwed.client import AlreadyExists, Client, as_dict

Request = TypeVar("Request", bound=Message)

_DEFINITIONS = ("empty_pallet_delivery", "parallel_pick", "inbound_putaway")
_TEMPLATE = "templates/point_to_point"
_INSTANCE = "templates/line_side_supply"
_RUNS = (
    "runs/1_empty_pallet",
    "runs/2_parallel_pick",
    "runs/3_inbound_putaway",
    "runs/4_line_side_supply",
)


def definitions() -> list[CreateTaskDefRequest]:
    """The definitions that are written out."""
    return [_read(name, CreateTaskDefRequest()) for name in _DEFINITIONS]


def template() -> CreateTaskTemplateRequest:
    """The template of `instance`."""
    return _read(_TEMPLATE, CreateTaskTemplateRequest())


def instance() -> InstantiateTaskTemplateRequest:
    """The definition that is made from `template`."""
    return _read(_INSTANCE, InstantiateTaskTemplateRequest())


def runs() -> list[CreateTaskRecordRequest]:
    """One run of each definition."""
    return [_read(name, CreateTaskRecordRequest()) for name in _RUNS]


async def load(client: Client) -> None:
    """Make the definitions, unless they are there."""
    service = client.definitions
    for request in definitions():
        with _there_already():
            await service.CreateTaskDef(request)
    with _there_already():
        await service.CreateTaskTemplate(template())
    with _there_already():
        await service.InstantiateTaskTemplate(instance())


async def stored(client: Client) -> dict[str, TaskDef]:
    """The definitions by id, as the service has them: someone may have changed them."""
    ids = [*(request.task_def.id for request in definitions()), instance().task_def.id]
    request = BatchGetTaskDefsRequest(ids=ids, view=View.VIEW_FULL)
    answer = await client.definitions.BatchGetTaskDefs(request)
    return {definition.id: definition for definition in answer.task_defs}


def fault(definition: TaskDef) -> str | None:
    """The error_code with which the first run of a definition fails in the demo, if any does."""
    for block in _all_blocks(as_dict(definition.config).get("blocks", [])):
        if found := block.get("inputs", {}).get("fault"):
            return str(found["error_code"])
    return None


def _all_blocks(blocks: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for block in blocks:
        yield block
        for branch in block.get("children", {}).values():
            yield from _all_blocks(branch)


def _read(name: str, request: Request) -> Request:
    text = files("vwed_grpc").joinpath("examples", f"{name}.json").read_text(encoding="utf-8")
    return Parse(text, request)


@contextmanager
def _there_already() -> Iterator[None]:
    try:
        yield
    except AlreadyExists as exc:
        if exc.reason != "ID_TAKEN":  # a name that something else has is trouble
            raise
