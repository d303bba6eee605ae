"""Rule 11: an executor that was frozen beyond its lease looks at the clock before it goes on."""

import signal
from time import monotonic

from vwed.v1.record_service_pb2 import ClaimTaskRecordsRequest

from tests.support.executors import Robot, StartRobot, order, story, until_told
from tests.support.steps import everything, get, seconds
from vwed.client import Client

LEASE = 1


async def frozen(process: Robot) -> None:
    """Returns once it has said something, and stands still."""
    assert (await process.says()).startswith("b0 ")
    process.send(signal.SIGSTOP)


def begun_since(lines: list[str], at: float) -> list[str]:
    """The blocks among what it said that it began since then."""
    words = [line.split() for line in lines if line.startswith("b")]
    return [block for block, began in words if float(began) >= at]


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
    said = [await process.says()]
    while not said[-1].startswith("stopped"):
        said.append(await process.says())
    assert said[-1] == "stopped LEASE_LOST"
    assert begun_since(said, woken) == []
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
    woken = monotonic()
    process.send(signal.SIGCONT)
    await until_told(client, run, "b5 RUNNING")
    process.send(signal.SIGTERM)
    begun = begun_since(await process.last_words(), woken)
    told = await story(client, run)
    assert told.index("RUNNING@2") < told.index(f"{begun[0]} RUNNING")
    assert not any("#" in words for words in told)  # no block was done twice
    assert (await get(client, run, strong=True)).lease_epoch == 2
