"""Two workers beside one: what a call costs, with a core for each, or one for both."""

from collections.abc import Iterator, Sequence
from statistics import median

from bench.measure import Result, Sample, Shape, repeated
from bench.process import LOAD_CORE, SERVER_CORE
from bench.reads import GETS
from bench.stand import Server, Stand
from bench.trial import answer_to

SHAPE = Shape(callers=128, connections=16)
"""Connections enough for the kernel to spread."""


def two_workers(stand: Stand, rounds: int, seconds: float) -> Iterator[Result]:
    """A core each is what workers are for; there they share the second with Redis and the load."""
    yield _beside_one(stand, "a core each", (SERVER_CORE, LOAD_CORE), rounds, seconds)
    shared = _beside_one(stand, "on one core", (SERVER_CORE,), rounds, seconds)
    shared.target, shared.met = "none: they take turns on it", None
    yield shared


def _beside_one(
    stand: Stand, how: str, cores: Sequence[int], rounds: int, seconds: float
) -> Result:
    case = GETS[1]
    target = "CPU per call <= 1.15 of one worker"
    result = Result(f"two workers, {how}: {case.case}", "calls", target)
    with (
        stand.another(f"one worker, {how}") as one,
        stand.another(f"two workers, {how}", cores, VWED_WORKERS="2") as two,
    ):
        size = len(answer_to(one.target, case.path, case.body))

        def run(server: Server) -> Sample:
            return repeated(server, case.path, case.body, SHAPE, seconds, answer_bytes=size)

        pairs = [(run(one), run(two)) for _ in range(rounds)]
    costs = [(a.server_cpu / a.count, b.server_cpu / b.count) for a, b in pairs]
    result.rate = median(b.rate for _, b in pairs)
    result.cpu_us = median(b for _, b in costs) * 1e6
    result.rounds = rounds
    result.others = max(b.others_cpu / b.seconds for _, b in pairs)
    result.figures = {
        "one_worker_cpu_us": median(a for a, _ in costs) * 1e6,
        "of_one_worker": median(b / a for a, b in costs),
    }
    result.met = result.figures["of_one_worker"] <= 1.15
    return result
