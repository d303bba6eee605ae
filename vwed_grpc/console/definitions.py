"""Definitions, their versions, and what differs between two, as JSON."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from starlette.requests import Request
from vwed.v1.common_pb2 import View
from vwed.v1.task_def_service_pb2 import (
    DiffTaskDefVersionsRequest,
    GetTaskDefRequest,
    ListTaskDefsRequest,
    ListTaskDefVersionsRequest,
    TaskDefFilter,
)

from vwed.client import Client
from vwed_grpc.console.filters import number
from vwed_grpc.console.messages import plain, plain_all

DEFINITIONS_PAGE = 100
VERSIONS = 200


async def list_definitions(client: Client, request: Request) -> dict[str, Any]:
    """A page of them, by name."""
    query = request.query_params
    answer = await client.definitions.ListTaskDefs(
        ListTaskDefsRequest(
            filter=TaskDefFilter(name_contains=query.get("name", "")),
            order_by="name",
            page_size=DEFINITIONS_PAGE,
            page_token=query.get("page_token", ""),
        )
    )
    return {"task_defs": plain_all(answer.task_defs), "next_page_token": answer.next_page_token}


async def get_definition(client: Client, request: Request) -> dict[str, Any]:
    """At a version, or the latest; its blocks as rows of a tree."""
    asked = GetTaskDefRequest(
        id=request.path_params["id"], version=number(request.query_params, "version")
    )
    definition = plain(await client.definitions.GetTaskDef(asked))
    config = definition.get("config", {})
    return {"task_def": definition, "blocks": list(_rows(config.get("blocks", []), 0, ""))}


async def list_versions(client: Client, request: Request) -> dict[str, Any]:
    """The newest first."""
    answer = await client.definitions.ListTaskDefVersions(
        ListTaskDefVersionsRequest(
            id=request.path_params["id"], page_size=VERSIONS, view=View.VIEW_BASIC
        )
    )
    return {"task_def_versions": plain_all(answer.task_def_versions)}


async def diff_versions(client: Client, request: Request) -> dict[str, Any]:
    """What turns version `from` into version `to`."""
    query = request.query_params
    answer = await client.definitions.DiffTaskDefVersions(
        DiffTaskDefVersionsRequest(
            id=request.path_params["id"],
            from_version=number(query, "from"),
            to_version=number(query, "to"),
        )
    )
    return plain(answer)


def _rows(blocks: Iterable[Mapping[str, Any]], depth: int, branch: str) -> Iterator[dict[str, Any]]:
    for block in blocks:
        yield {
            "depth": depth,
            "branch": branch,
            **{name: value for name, value in block.items() if name != "children"},
        }
        for name, below in sorted(block.get("children", {}).items()):
            yield from _rows(below, depth + 1, name)
