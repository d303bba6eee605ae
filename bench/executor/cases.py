"""One executor process, whose code does nothing but begin blocks and end them, and one server."""

import json
import subprocess
from collections.abc import Iterator

from bench import seed
from bench.measure import Result, Sample, Stopwatch, summed_up
from bench.process import ROOT, environment, python
from bench.stand import Stand

RUNS = 8
"""At once."""
LEAST = 3_000
"""Blocks a second, each of which is two reports."""
_BLOCKS = 1_000
"""Of each run, for a second's work or less."""


def executor(stand: Stand, rounds: int, seconds: float) -> Iterator[Result]:
    samples = [_run(stand, int(_BLOCKS * seconds)) for _ in range(rounds)]
    case = f"executor process, {RUNS} runs at once"
    result = summed_up(case, "blocks", f">= {LEAST:,}/s", samples)
    result.met = result.rate >= LEAST
    yield result


def _run(stand: Stand, blocks: int) -> Sample:
    target = stand.server.target
    tenant = seed.new_tenant(target, "executor")
    seed.pending_runs(target, tenant, RUNS)
    watch = Stopwatch(stand.server)
    done = subprocess.run(
        python("bench.executor.drive", target, tenant, str(RUNS), str(blocks)),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment(ROOT),
    )
    figures = json.loads(done.stdout)
    sample = watch.stop(RUNS * blocks, figures.pop("cpu"))
    sample.seconds = figures.pop("seconds")  # without the start of the process
    sample.figures = {"executor_cpu_us": sample.load_cpu / sample.count * 1e6, **figures}
    return sample
