"""The console: pages for a browser, and a client of the service for whoever looks at them."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from vwed.client import CallError, Client
from vwed_grpc.console import definitions, figures, runs
from vwed_grpc.console.actions import VERBS, action
from vwed_grpc.console.errors import BadRequest, bad_request, call_failed
from vwed_grpc.console.filters import number, run_filter
from vwed_grpc.console.identity import Connect, caller_of
from vwed_grpc.console.languages import STATIC
from vwed_grpc.console.pages import page
from vwed_grpc.console.security import Guard, is_own
from vwed_grpc.console.streams import run_stream, runs_stream

Work = Callable[[Client, Request], Awaitable[dict[str, Any]]]
Endpoint = Callable[[Request], Awaitable[Response]]
_PAGES = ("/", "/runs/{id}", "/definitions", "/definitions/{id}", "/figures")
_READ: Mapping[str, Work] = {
    "/api/runs": runs.list_runs,
    "/api/executors": runs.list_executors,
    "/api/runs/{id}": runs.get_run,
    "/api/runs/{id}/events": runs.list_events,
    "/api/runs/{id}/cache": runs.list_cache,
    "/api/definitions": definitions.list_definitions,
    "/api/definitions/{id}": definitions.get_definition,
    "/api/definitions/{id}/versions": definitions.list_versions,
    "/api/definitions/{id}/diff": definitions.diff_versions,
    "/api/figures": figures.figures,
}


def console_app(
    connect: Connect, *, allow_actions: bool = False, names: Collection[str] = ()
) -> Starlette:
    """`names`: of hosts that it answers to beside addresses and localhost.

    Without `allow_actions` there is nothing in it that changes anything.
    """

    async def show_page(request: Request) -> Response:
        return page(request, allow_actions=allow_actions)

    async def watch_run(request: Request) -> Response:
        after = _last_event_id(request)
        caller, run_id = caller_of(request), request.path_params["id"]
        return EventSourceResponse(run_stream(connect, caller, run_id, after))

    async def watch_runs(request: Request) -> Response:
        wanted = run_filter(request.query_params, statuses=False)
        token = request.headers.get("last-event-id") or request.query_params.get("after", "")
        return EventSourceResponse(runs_stream(connect, caller_of(request), wanted, token))

    return Starlette(
        routes=[
            *(Route(path, show_page) for path in _PAGES),
            Route("/api/runs/stream", watch_runs),
            Route("/api/runs/{id}/stream", watch_run),
            *(Route(path, _asking(connect, work)) for path, work in _READ.items()),
            *(
                Route(
                    f"/api/runs/{{id}}/{verb}",
                    _acting(connect, action(verb)) if allow_actions else _read_only,
                    methods=["POST"],
                )
                for verb in VERBS
            ),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, names=names)],
        exception_handlers={CallError: call_failed, BadRequest: bad_request},
    )


def _asking(connect: Connect, work: Work) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        async with connect(caller_of(request)) as client:
            answer = await work(client, request)
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    return endpoint


def _acting(connect: Connect, work: Work) -> Endpoint:
    asking = _asking(connect, work)

    async def endpoint(request: Request) -> Response:
        if not is_own(request):
            return PlainTextResponse("A page of another site asks for this.\n", status_code=403)
        return await asking(request)

    return endpoint


async def _read_only(_request: Request) -> Response:
    return PlainTextResponse(
        "Nothing may be done here.\n", status_code=405, headers={"Allow": "GET"}
    )


def _last_event_id(request: Request) -> int | None:
    """What the browser says by itself when it asks again, or a page that had let go of a stream."""
    if given := request.headers.get("last-event-id"):
        return number({"after": given}, "after")
    query = request.query_params
    return number(query, "after") if query.get("after") else None
