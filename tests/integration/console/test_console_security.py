"""What the console does not do, and for whom."""

import json

import pytest

from tests.support.console import Console, request
from tests.support.steps import create, get, running
from vwed.client import Client
from vwed_grpc.domain.lifecycle import CANCELING, RUNNING

VERBS = ["cancel", "pause", "resume", "retry", "signal"]


@pytest.mark.parametrize("path", ["/", "/runs/r", "/definitions", "/definitions/d", "/figures"])
async def test_a_page_loads_nothing_from_elsewhere_and_nothing_within_itself(
    console: Console, path: str
) -> None:
    answer = await request(console, path)
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    page = answer.body.decode()
    assert "style=" not in page
    assert " onclick=" not in page
    assert page.count("<script") == page.count('<script type="module" src="/static/') == 1


@pytest.mark.parametrize("verb", VERBS)
async def test_nothing_may_be_done_unless_that_is_allowed(
    console: Console, client: Client, tenant: str, verb: str
) -> None:
    run = await running(client)
    answer = await request(
        console,
        f"/api/runs/{run.id}/{verb}?tenant={tenant}",
        method="POST",
        origin=console.url,
    )
    assert answer.status == 405
    assert await get(client, run.id) == run


async def test_where_it_is_allowed_the_reason_is_kept(
    acting_console: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    answer = await request(
        acting_console,
        f"/api/runs/{run.id}/cancel?tenant={tenant}",
        method="POST",
        body=json.dumps({"reason": "通道堵塞"}),
        origin=acting_console.url,
        x_forwarded_user="operator-7",
    )
    assert answer.status == 200
    now = await get(client, run.id)
    assert now.status == CANCELING
    assert now.status_reason == "通道堵塞"
    assert now.status_actor == "operator-7"


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example"])
async def test_pages_of_other_sites_are_refused(
    acting_console: Console, client: Client, tenant: str, origin: str
) -> None:
    run = await running(client)
    answer = await request(
        acting_console,
        f"/api/runs/{run.id}/cancel?tenant={tenant}",
        method="POST",
        origin=origin,
    )
    assert answer.status == 403
    assert (await get(client, run.id)).status == RUNNING


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost:8080", 200),
        ("[::1]:8080", 200),
        ("evil.example:8080", 421),
        ("127.0.0.1.evil.example", 421),
        ("[", 421),
        ("", 421),
    ],
)
async def test_it_does_not_answer_to_names_that_point_to_it(
    console: Console, host: str, status: int
) -> None:
    assert (await request(console, "/api/executors", host=host)).status == status


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("resume", {}, 409),  # it is not paused
        ("cancel", {"reason": "x" * 513}, 400),
        ("cancel", {"nonsense": 1}, 400),
        ("cancel", [], 400),
        ("cancel", {"reason": "x" * 200_000}, 400),
        ("signal", {}, 400),  # of what name?
    ],
)
async def test_what_the_service_refuses_is_told(
    acting_console: Console, client: Client, tenant: str, verb: str, body: object, status: int
) -> None:
    run = await create(client)
    answer = await request(
        acting_console,
        f"/api/runs/{run.id}/{verb}?tenant={tenant}",
        method="POST",
        body=json.dumps(body),
        origin=acting_console.url,
    )
    assert answer.status == status, answer.body
    assert answer.json["message"]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("zh-TW", "zh-CN"),
        ("de,en;q=0.5,zh;q=0.3", "en"),
        ("de", "en"),
        ("en;q=0, zh;q=0.1", "zh-CN"),
        ("en;q=odd, zh;q=0.1", "zh-CN"),
    ],
)
async def test_a_page_speaks_the_browser_s_language(
    console: Console, accepted: str, language: str
) -> None:
    answer = await request(console, "/", accept_language=accepted)
    assert f'<html lang="{language}"' in answer.body.decode()
