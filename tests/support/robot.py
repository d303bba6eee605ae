"""An executor in a process of its own, to be stopped and frozen.

Arguments: target, tenant, seconds of lease, and what it is like: "willing" or "stubborn". Each line
on stdout: a block's id and the time by the machine's monotonic clock when it began, or why the code
was stopped.
"""

import asyncio
import itertools
import sys
import time
from contextlib import suppress

from vwed.client import Executor, Run


def main() -> None:
    target, tenant, lease, character = sys.argv[1:]
    executor = Executor(target, "AMB-01", tenant=tenant, lease=float(lease), grace=0)

    @executor.task(task_types=["transport"])
    async def transport(run: Run) -> None:
        try:
            for n in itertools.count():
                async with run.block(f"b{n}", "move"):
                    print(f"b{n}", time.monotonic(), flush=True)  # noqa: T201 - to the test
                    await asyncio.sleep(0.02)
        finally:
            print("stopped", run.stop_reason and run.stop_reason.name, flush=True)  # noqa: T201 - to the test
            while character == "stubborn":
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)

    executor.run()
    print("done", flush=True)  # noqa: T201 - to the test


if __name__ == "__main__":
    main()
