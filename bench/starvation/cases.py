"""All of them, in order."""

from collections.abc import Iterator

import sqlalchemy as sa

from bench.measure import Result
from bench.stand import Stand
from bench.starvation.figures import heartbeats_beside_summaries
from bench.starvation.hoarders import calls_beside_claimers, memory_of_half_sent
from bench.starvation.outage import leases_over_an_outage
from bench.starvation.watchers import reads_beside_unread, reports_beside_feeds


def starvation(stand: Stand, engine: sa.Engine, rounds: int) -> Iterator[Result]:
    yield reports_beside_feeds(stand, rounds)
    yield reads_beside_unread(stand, rounds)
    yield heartbeats_beside_summaries(stand, engine)
    yield calls_beside_claimers(stand)
    yield memory_of_half_sent(stand)
    yield leases_over_an_outage(stand)
