"""What a retry copies of another run's blocks: which, and the copying itself."""

from array import array
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from vwed_grpc.domain.blocks import PENDING, SKIPPED, SUCCEEDED, Block, Status
from vwed_grpc.loop.turns import in_turns
from vwed_grpc.storage import rows
from vwed_grpc.storage.block_records import BASIC
from vwed_grpc.storage.chunks import chunks
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

_LOOKED_AT = 2_000
"""Blocks that one statement looks at."""
_COPIED = 500
_COPIED_BYTES = 4 << 20
"""What one statement copies, or one block."""
_IS_DONE = f"IN ({int(SUCCEEDED)}, {int(SKIPPED)})"

_IN_ORDER = Statement("SELECT set_config('enable_sort', 'off', true)")
"""For the rest of the transaction. With statistics of a time when the table was nearly empty,
PostgreSQL would else read all blocks of the run for each look-up, and sort what is left of them."""
# Each row's latest attempt is looked up by itself, with whatever statistics there are, or none;
# what a look-up is ordered by says which of the indexes that begin with the run is the right one.
_LATEST = """
    CROSS JOIN LATERAL (
          SELECT attempt, status FROM block_records l
           WHERE l.tenant = :tenant AND l.task_record_id = :run AND l.block_id = b.block_id
             AND l.iteration = b.iteration
           ORDER BY l.attempt DESC LIMIT 1) latest
"""
_DONE = Statement(f"""
    SELECT b.first_seq, b.status, b.parent_block_record_id AS parent, b.bytes,
           latest.attempt = b.attempt AS counts
      FROM (SELECT *, coalesce(octet_length(input_data), 0)
                      + coalesce(octet_length(output_data), 0) AS bytes
              FROM block_records
             WHERE tenant = :tenant AND task_record_id = :run AND first_seq > :after
               AND status {_IS_DONE}
             ORDER BY first_seq LIMIT {_LOOKED_AT}) b
    {_LATEST}
     ORDER BY b.first_seq
""")  # noqa: S608 - numbers of our own
_ANCESTORS = Statement(f"""
    SELECT b.first_seq, b.parent_block_record_id AS parent, b.block_id, b.iteration,
           latest.status {_IS_DONE} AS done, b.status {_IS_DONE} AS own_done,
           latest.attempt = b.attempt AS counts,
           coalesce(octet_length(b.input_data), 0) AS bytes
      FROM unnest(CAST(:ids AS text[])) AS k (id)
     CROSS JOIN LATERAL (
           SELECT * FROM block_records b
            WHERE b.tenant = :tenant AND b.task_record_id = :run AND b.id >= k.id
            ORDER BY b.id LIMIT 1) b
    {_LATEST}
     WHERE b.id = k.id
""")  # noqa: S608 - numbers of our own


@dataclass(slots=True)
class Copied:
    """The blocks of a run that a retry takes over, by their first_seq.

    A block counts by its latest attempt. What stands above a SUCCEEDED or SKIPPED one, and is
    neither, comes along: it is to be done again.
    """

    first_seqs: "array[int]" = field(default_factory=lambda: array("q"))
    """In their order; numbers alone, for there may be 200,000."""
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    """Bytes of each one's payload."""
    pending: set[int] = field(default_factory=set)
    """Those that come along."""
    counts: dict[Status, int] = field(default_factory=dict)
    """Of the copies, by status."""

    def parts(self) -> Iterator[slice]:
        """Which of them one statement copies."""
        start, total = 0, 0
        for end, size in enumerate(self.sizes):
            if end > start and (end - start == _COPIED or total + size > _COPIED_BYTES):
                yield slice(start, end)
                start, total = end, 0
            total += size
        if len(self.sizes) > start:
            yield slice(start, len(self.sizes))


async def find(tx: Transaction, tenant: str, run: str) -> Copied:
    """What is to be copied of a run that nobody changes."""
    await tx.fetch(_IN_ORDER, {})
    copied = Copied()
    parents: set[str] = set()
    after: int | None = -1
    while after is not None:
        found = await tx.fetch(_DONE, {"tenant": tenant, "run": run, "after": after})
        for row in found:
            if row.counts:
                copied.first_seqs.append(row.first_seq)
                copied.sizes.append(row.bytes)
                copied.counts[row.status] = copied.counts.get(row.status, 0) + 1
                parents.add(row.parent)
        after = found[-1].first_seq if len(found) == _LOOKED_AT else None
    await _climb(tx, tenant, run, copied, parents - {""})
    return copied


async def _climb(tx: Transaction, tenant: str, run: str, copied: Copied, parents: set[str]) -> None:
    """Adds the ancestors that are not copied for their own sake."""
    seen = set(parents)
    names: set[tuple[str, str]] = set()
    more: dict[int, int] = {}
    while parents:
        above: set[str] = set()
        for ids in chunks(parents, _LOOKED_AT):
            for row in await tx.fetch(_ANCESTORS, {"tenant": tenant, "run": run, "ids": ids}):
                above.add(row.parent)
                if row.done and row.counts:
                    continue
                more[row.first_seq] = row.bytes
                if not (row.done and row.own_done):
                    copied.pending.add(row.first_seq)
                if not row.done:
                    names.add((row.block_id, row.iteration))
        parents = above - seen - {""}
        seen |= parents
    if not more:
        return
    copied.counts[PENDING] = len(names)
    both = sorted([*zip(copied.first_seqs, copied.sizes, strict=True), *more.items()])
    copied.first_seqs = array("q", [first_seq for first_seq, _ in both])
    copied.sizes = array("q", [size for _, size in both])


_AS_THEY_ARE = ("block_id", "iteration", "attempt", "block_type", "name", "input_data")
_IF_PENDING = {
    "status": str(int(PENDING)), "output_data": "NULL", "start_time": "NULL", "end_time": "NULL",
    "robot_id": "''", "message": "''", "error_message": "''", "progress": "0",
}  # fmt: skip
"""What one that is to be done again has instead."""


def _copy_of(id_: str) -> str:
    """An id that follows from the new run's and the block's: so that parents can be named."""
    return f"CAST(CAST(md5(CAST(:new AS text) || {id_}) AS uuid) AS text)"


_VALUES = {
    "tenant": "b.tenant",
    "task_record_id": ":new",
    "id": _copy_of("b.id"),
    "parent_block_record_id": f"""CASE WHEN b.parent_block_record_id = '' THEN ''
        ELSE {_copy_of("b.parent_block_record_id")} END""",
    "first_seq": "CAST(:seq AS bigint) + k.nth",
    "seq": "CAST(:seq AS bigint) + k.nth",
    "create_time": ":now",
    "update_time": ":now",
    **{name: f"b.{name}" for name in _AS_THEY_ARE},
    **{n: f"CASE WHEN k.pending THEN {v} ELSE b.{n} END" for n, v in _IF_PENDING.items()},
}
_BASIC = ", ".join(column.name for column in BASIC)
_COPY = Statement(f"""
    INSERT INTO block_records ({", ".join(_VALUES)})
    SELECT {", ".join(_VALUES.values())}
      FROM unnest(CAST(:first_seqs AS bigint[]), CAST(:pendings AS boolean[]))
           WITH ORDINALITY AS k (first_seq, pending, nth)
     CROSS JOIN LATERAL (
           SELECT * FROM block_records o
            WHERE o.tenant = :tenant AND o.task_record_id = :run
              AND o.first_seq >= k.first_seq
            ORDER BY o.first_seq LIMIT 1) b
 RETURNING {_BASIC}, input_data AS given, output_data AS made
""")  # noqa: S608 - names of our own


async def copy(
    tx: Transaction, tenant: str, run: str, new: str, seq: int, copied: Copied
) -> AsyncIterator[list[Block]]:
    """Copies the blocks into a new run, where they take the seqs after `seq`, in parts."""
    for part in copied.parts():
        first_seqs = list(copied.first_seqs[part])
        found = await tx.fetch(
            _COPY,
            {
                "tenant": tenant,
                "run": run,
                "new": new,
                "seq": seq,
                "now": tx.now,
                "first_seqs": first_seqs,
                "pendings": [first_seq in copied.pending for first_seq in first_seqs],
            },
        )
        seq += len(first_seqs)
        yield await in_turns(
            lambda row: Block(rows.block_record(row), input_data=row.given, output_data=row.made),
            sorted(found, key=attrgetter("seq")),
        )
