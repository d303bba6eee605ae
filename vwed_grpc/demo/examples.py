"""The example definitions, as the requests that make them; grpcurl takes the same files."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, TypeVar

import grpc
from google.protobuf.json_format import MessageToDict, Parse
from google.protobuf.message import Message
from vwed.v1.record_service_pb2 import CreateTaskRecordRequest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskDefRequest,
    CreateTaskTemplateRequest,
    GetTaskDefRequest,
    InstantiateTaskTemplateRequest,
)

from vwed.client import Client, error_info, persist

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")

_DEFINITIONS = ("empty_pallet_delivery", "parallel_pick", "inbound_putaway")
_TEMPLATE = "templates/point_to_point"
_INSTANCE = "templates/line_side_supply"
_RUNS = (
    "runs/1_empty_pallet",
    "runs/2_parallel_pick",
    "runs/3_inbound_putaway",
    "runs/4_line_side_supply",
)
_FIRST_PATIENCE = 3.0
"""Seconds for a server that is just starting; one that is not there is said soon."""


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


async def load(client: Client) -> dict[str, TaskDef]:
    """Make the definitions unless they are there; answers them by id, as the service has them."""
    loaded = {}
    for request in definitions():
        await _create(client.definitions.CreateTaskDef, request)
        loaded[request.task_def.id] = await _get(client, request.task_def.id)
    await _create(client.definitions.CreateTaskTemplate, template())
    await _create(client.definitions.InstantiateTaskTemplate, instance())
    loaded[instance().task_def.id] = await _get(client, instance().task_def.id)
    return loaded


def fault(definition: TaskDef) -> str | None:
    """The error_code with which the first run of a definition fails in the demo, if any does."""
    config: dict[str, Any] = MessageToDict(definition.config)
    for block in _all_blocks(config.get("blocks", [])):
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


async def _create(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request
) -> None:
    try:
        await persist(method, request, patience=_FIRST_PATIENCE)
    except grpc.aio.AioRpcError as exc:
        info = error_info(exc)
        if info is None or info.reason != "ID_TAKEN":  # a name that something else has is trouble
            raise


async def _get(client: Client, definition_id: str) -> TaskDef:
    return await persist(client.definitions.GetTaskDef, GetTaskDefRequest(id=definition_id))
