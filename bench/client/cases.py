import json
import subprocess
from collections.abc import Iterator
from statistics import median

from bench.measure import Result
from bench.process import ROOT, environment, python
from bench.stand import Stand

MOST = 1.15
_EXPECTED_RATE = 2_000
"""Calls a second, roughly: how many are to be made in so many seconds."""


def client(stand: Stand, rounds: int, seconds: float) -> Iterator[Result]:
    """With a deadline, a `request_id` where there is one, and what it takes to call again.

    Raises RuntimeError.
    """
    calls = max(1_000, round(_EXPECTED_RATE * seconds / 2))
    done = subprocess.run(
        python("bench.client.caller", stand.server.target, str(rounds), str(calls)),
        cwd=ROOT,
        env=environment(ROOT),
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the caller ended with {done.returncode}")
    for rpc, found in json.loads(done.stdout).items():
        ratios = [ours / stub for stub, ours, _ in found]
        yield Result(
            f"{rpc} by the client",
            "calls",
            f"CPU <= {MOST:.2f} of the stub's",
            rate=median(rate for *_, rate in found),
            cpu_us=median(ours for _, ours, _ in found) * 1e6,
            rounds=len(found),
            met=median(ratios) <= MOST,
            figures={
                "of_the_CPU": median(ratios),
                "cpu_us_of_the_stub": median(stub for stub, *_ in found) * 1e6,
                "lowest": min(ratios),
                "highest": max(ratios),
            },
            note="CPU of the caller",
        )
