"""Rule 11: an executor that was frozen beyond its lease looks at the clock before it goes on."""

import signal
from time import monotonic

from vwed.client import Client
from vwed.v1.record_service_pb2 import ClaimTaskRecordsRequest

from tests.support.executors import Robot, StartRobot, order, story, until_told
from tests.support.steps import everything, get, seconds
from tests.support.waiting import until_true

LEASE = 1


async def frozen(process: Robot) -> None:
    """Returns once it has said something, and stands still."""
    assert (await process.says()).startswith("b0 ")
    process.send(signal.SIGSTOP)


async def blocks_since(process: Robot, at: float) -> list[str]:
    """What it began since then, and the line after those, which says why it was stopped."""
    begun = list[str]()
    while (line := await process.says()).startswith("b"):
        name, began = line.split()
        if float(began) >= at:
            begun.append(name)
    return [*begun, line]


async def test_a_run_that_another_has_by_then_is_let_go(client: Client, robot: StartRobot) -> None:
    run = await order(client)
    process = await robot(lease=LEASE)
    await frozen(process)
    request = ClaimTaskRecordsRequest(
        executor_id="another", include_interrupted=True, lease=seconds(0), wait=seconds(10)
    )
    (taken,) = (await client.records.ClaimTaskRecords(request)).task_records
    assert (taken.id, taken.lease_epoch) == (run, 2)
    before = await everything(client, run)
    woken = monotonic()
    process.send(signal.SIGCONT)
    assert await blocks_since(process, woken) == ["stopped LEASE_LOST"]
    process.send(signal.SIGTERM)
    assert await process.last_words() == ["done"]
    assert await process.exit_code() == 0
    assert await everything(client, run) == before


async def test_a_run_that_nobody_has_is_retaken_before_a_block_starts(
    client: Client, robot: StartRobot
) -> None:
    run = await order(client)
    process = await robot(lease=LEASE)
    await frozen(process)
    await until_told(client, run, "INTERRUPTED")
    told = len(await story(client, run))
    process.send(signal.SIGCONT)

    async def going_on() -> bool:
        return len((await story(client, run))[told:]) > 4

    await until_true(going_on)
    process.send(signal.SIGTERM)
    await process.last_words()
    rest = (await story(client, run))[told:]
    starts = [words for words in rest if words.endswith(" RUNNING")]
    assert rest.index("RUNNING@2") < rest.index(starts[0])
    assert not any("#" in words for words in rest)  # no block was done twice
    assert (await get(client, run, strong=True)).lease_epoch == 2
