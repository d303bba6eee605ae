"""Who asks the service, through a console that has no token of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.support.console import Console, request, stream
from tests.support.steps import get, running
from tests.support.tokens import token, write_keys
from vwed.client import Client
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


@pytest.fixture(scope="module")
async def guarded(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Console]:
    """Of a server that asks for tokens, on the database of the other one."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = write_keys(folder / "keys.json", "HS256")
    async with serving(settings.model_copy(update={"token_keys": keys})) as port:
        console = Console(f"127.0.0.1:{port}", folder / "log", "--allow-actions")
        await console.start()
        yield console
        await console.close()


async def test_the_browser_s_token_goes_on_to_the_service(
    guarded: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    at = f"/api/runs/{run.id}?tenant={tenant}"
    good = token("records:read", tenants=[tenant])
    others = token("records:read", tenants=["another"])
    for headers, status in (
        ({}, 401),
        ({"authorization": "Bearer nonsense"}, 401),
        ({"authorization": f"Bearer {good}"}, 200),
        ({"x_forwarded_access_token": good}, 200),
        ({"authorization": f"Bearer {others}"}, 403),
    ):
        answer = await request(guarded, at, **headers)
        assert answer.status == status, headers
    at = f"/api/runs/{run.id}/stream?tenant={tenant}"
    async with stream(guarded, at, authorization=f"Bearer {good}") as sent:
        table = await anext(sent)
    assert table.kind == "table"
    assert table.data["rows"] == []  # for definitions are none of its scopes
    async with stream(guarded, at) as sent:
        assert (await anext(sent)).data["code"] == "UNAUTHENTICATED"


async def test_what_is_done_is_done_by_whoever_the_token_names(
    guarded: Console, client: Client, tenant: str
) -> None:
    run = await running(client)
    at = f"/api/runs/{run.id}/pause?tenant={tenant}"
    may = token("records:operate", tenants=[tenant], sub="operator-7")
    may_not = token("records:read", tenants=[tenant])
    for given, status in ((may_not, 403), (may, 200)):
        answer = await request(
            guarded,
            at,
            method="POST",
            origin=guarded.url,
            authorization=f"Bearer {given}",
            x_forwarded_user="somebody-else",
        )
        assert answer.status == status
    assert (await get(client, run.id)).status_actor == "operator-7"
