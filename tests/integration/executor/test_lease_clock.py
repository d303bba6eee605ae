"""Rule 2: no block starts unless the lease is ours by our own clock; the running one goes on."""

import asyncio
import itertools
from time import monotonic

from tests.support.executors import TASK_TYPE, MakeExecutor, at_work, content, name_of, order
from tests.support.proxy import Proxy
from tests.support.steps import blocks_of, until
from tests.support.waiting import until_true
from vwed.client import Client, Run
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import SUCCEEDED

LEASE = 1


async def test_no_block_starts_under_a_lease_that_may_be_over(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor = behind_proxy(lease=LEASE)
    starts, over, enough = list[float](), asyncio.Event(), asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async def short() -> None:
            for n in itertools.count():
                async with run.block(f"short-{n}", "move"):
                    starts.append(monotonic())
                    await asyncio.sleep(0.01)
                if enough.is_set():
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(short())
            async with run.block("long", "move") as block:
                await over.wait()
                block.output = {"went": "on"}

    async with at_work(executor):
        run = await order(client)
        await until_true(lambda: len(starts) > 3)
        proxy.freeze()
        frozen = monotonic()
        await until_true(lambda: monotonic() > frozen + 1.2 * LEASE, what="the end of the lease")
        over.set()
        before = len(starts)
        thawed = monotonic()
        proxy.thaw()
        await until_true(lambda: len(starts) > before + 3, what="a block after the outage")
        enough.set()
        await until(client, run, SUCCEEDED)
    # What is acknowledged was sent before the connection froze.
    assert [at for at in starts if frozen + LEASE <= at < thawed] == []
    assert before > 3
    found = {name_of(block): block for block in await blocks_of(client, run)}
    assert content(found.pop("long").output_data) == {"went": "on"}
    assert [*found] == [f"short-{n}" for n in range(len(starts))]
    assert {block.status for block in found.values()} == {blocks.SUCCEEDED}
