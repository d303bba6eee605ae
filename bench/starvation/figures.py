"""Summaries of very many groups, and heartbeats of another tenant beside them."""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from threading import Event

import sqlalchemy as sa
from vwed.v1.record_service_pb2 import HeartbeatTaskRecordRequest, SummarizeTaskRecordsRequest

from bench.frames import Connection
from bench.load import Caller, Tally, pump
from bench.measure import Result
from bench.paths import RECORDS
from bench.seed import more_runs, new_tenant, vacuum
from bench.stand import Stand

GROUPS, AT_ONCE = 56_000, (0, 1, 4)
EXECUTORS = 8
WARM_SECONDS, AFTER_SECONDS, MOST_SECONDS = 1.0, 2.0, 60.0
MOST_MS = 250.0
_FILL = """
    INSERT INTO task_records (tenant, id, task_def_id, status, robot_id, start_time, end_time,
                              create_time, update_time)
    SELECT :tenant, 'run-' || n, 'def', 7, 'robot-' || n, at, at, at, at
      FROM generate_series(1, :runs) n, (SELECT timestamptz '2026-01-02' AS at) given
"""


class Ended:
    """A call, and whether it was answered."""

    def __init__(self) -> None:
        self.ended = self.answered = False

    def message(self, body: bytes) -> None:  # noqa: ARG002 - that there is one is what counts
        self.answered = True

    def end(self) -> None:
        self.ended = True


def heartbeats_beside_summaries(stand: Stand, engine: sa.Engine) -> Result:
    figures: dict[str, float] = {}
    with stand.another("figures") as server:
        many, other = (new_tenant(server.target, name) for name in ("groups", "robots"))
        with engine.begin() as connection:
            connection.execute(sa.text(_FILL), {"tenant": many, "runs": GROUPS})
        vacuum(engine)
        runs = list(islice(more_runs(server.target, "run", other), EXECUTORS))
        summary = SummarizeTaskRecordsRequest(
            group_by=[SummarizeTaskRecordsRequest.GroupBy.GROUP_BY_ROBOT]
        )
        getattr(summary.end_time, "from").FromJsonString("2026-01-01T00:00:00Z")
        summary.end_time.to.FromJsonString("2026-02-01T00:00:00Z")
        asking = Connection(server.target, {"x-vwed-tenant": many})
        beating = Connection(server.target, {"x-vwed-tenant": other})
        for count in AT_ONCE:
            stopped, tally = Event(), Tally()
            for run in runs:
                body = HeartbeatTaskRecordRequest(id=run, robot_id="AMR-03").SerializeToString()
                bodies = iter(partial(_unless, stopped, body), None)
                Caller(beating, f"{RECORDS}/HeartbeatTaskRecord", bodies, tally).next()
            pump([beating], _never, WARM_SECONDS)
            tally.latencies.clear()
            calls = [Ended() for _ in range(count)]
            for call in calls:
                path = f"{RECORDS}/SummarizeTaskRecords"
                asking.open(path, call, summary.SerializeToString())
            pump([asking, beating], partial(_all_ended, calls), MOST_SECONDS)
            pump([asking, beating], _never, AFTER_SECONDS)
            stopped.set()
            pump([beating], lambda: not beating.calls, MOST_SECONDS)
            figures[f"longest_ms_beside_{count}"] = tally.quantile(1) * 1e3
            figures[f"answered_of_{count}"] = sum(call.answered for call in calls)
    return Result(
        f"starvation: heartbeats beside summaries of {GROUPS:,} groups",
        "",
        f"longest <= {MOST_MS:g} ms",
        rounds=1,
        met=figures[f"longest_ms_beside_{AT_ONCE[-1]}"] <= MOST_MS,
        figures=figures,
    )


def _unless(stopped: Event, body: bytes) -> bytes | None:
    return None if stopped.is_set() else body


def _all_ended(calls: Sequence[Ended]) -> bool:
    return all(call.ended for call in calls)


def _never() -> bool:
    return False
