"""`cancel`, `pause`, `resume` and `retry`: several runs at a time, and exit codes."""

from tests.support.calls import finish_run
from tests.support.steps import create, define, get, history, running
from tests.support.terminal import vwed
from vwed.client import Client
from vwed_grpc.domain import lifecycle


async def test_each_run_is_acted_on_and_told(client: Client, target: str, tenant: str) -> None:
    one, two = await running(client), await running(client)
    said = await vwed(
        target, tenant, "pause", one.id, two.id, "--reason", "door", "--actor", "李雷"
    )
    assert said == (0, f"{one.id} PAUSING\n{two.id} PAUSING\n", "")
    last = (await history(client, one.id))[-1]
    assert (last.actor, last.reason) == ("李雷", "door")
    assert (await vwed(target, tenant, "resume", one.id)).lines == [f"{one.id} RUNNING"]
    assert (await vwed(target, tenant, "cancel", one.id)).lines == [f"{one.id} CANCELING"]
    assert (await vwed(target, tenant, "cancel", one.id, "--force")).lines == [f"{one.id} CANCELED"]


async def test_cascade_reaches_the_runs_below(client: Client, target: str, tenant: str) -> None:
    above = await running(client)
    below = await create(client, parent_task_record_id=above.id)
    assert (await vwed(target, tenant, "cancel", above.id, "--cascade")).code == 0
    assert (await get(client, below.id)).status == lifecycle.CANCELED


async def test_a_refusal_ends_with_4_and_the_others_are_acted_on(
    client: Client, target: str, tenant: str
) -> None:
    over, open_ = await running(client), await running(client)
    await finish_run(client, over.id)
    said = await vwed(target, tenant, "pause", over.id, open_.id)
    assert said.code == 4
    assert said.lines == [f"{open_.id} PAUSING"]
    assert said.err.startswith(f"{over.id}: FAILED_PRECONDITION")
    said = await vwed(target, tenant, "pause", "no-run", "-o", "json")
    assert (said.code, said.json) == (3, [])


async def test_a_retry_is_a_new_run(client: Client, target: str, tenant: str) -> None:
    failed = await running(client, (await define(client)).id)
    await finish_run(client, failed.id, lifecycle.FAILED)
    made = (await vwed(target, tenant, "retry", failed.id, "--from-failure", "-o", "json")).json
    assert [run["retry_of"] for run in made] == [failed.id]


async def test_without_a_run_it_is_a_usage_error(target: str, tenant: str) -> None:
    assert (await vwed(target, tenant, "cancel")).code == 2
