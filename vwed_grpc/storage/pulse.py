"""Since when the service could be reached: a lease counts only such time.

Servers say twice a second that they can write. Where nobody said so for longer than GAP, no
executor could renew its lease either: the store was down, frozen or failed over, or all servers
were. From the end of such a gap on leases have their whole term anew. All servers see the same, for
it is a row.
"""

from time import monotonic

from vwed_grpc.storage.incarnation import Incarnation
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import GAP, Transaction

BEAT_SECONDS = 0.5
_BEAT = Statement("""
    INSERT INTO service_pulse AS p (tenant, beat, reachable_since)
    SELECT '', now, now FROM (SELECT clock_timestamp()) clock (now)
        ON CONFLICT (tenant) DO UPDATE
       SET beat = greatest(p.beat, excluded.beat),
           reachable_since = CASE WHEN excluded.beat - p.beat > :gap
                                  THEN excluded.beat ELSE p.reachable_since END
 RETURNING beat = reachable_since AS anew
""")


async def beat(pool: Pool) -> bool:
    """Says that the service can write; whether it could not for a while before.

    That confirms which copy of the data this is, as no other commit does: with synchronous
    replication one that wrote nothing waits for no standby.
    """

    async def work(tx: Transaction) -> tuple[bool, Incarnation, float]:
        since = monotonic()
        anew = bool((await tx.fetch(_BEAT, {"gap": GAP}))[0].anew)
        return anew, tx.incarnation, since

    anew, incarnation, since = await pool.run(work)
    pool.incarnation.confirm(incarnation, since)
    return anew
