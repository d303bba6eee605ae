"""Deleting what runs have many of: page by page, so that no statement's work grows with a run."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

ROWS = 2_000
"""In one statement."""


class PagedDelete:
    """Deletes the rows of a table that belong to given runs, each run's in the order of a key.

    The runs are locked, or nobody changes such rows: what a page found by its place must not move.
    """

    def __init__(
        self, table: str, key: str, key_type: str, first: str | int, *, only: str = "true"
    ) -> None:
        """`first` is below every key; `only` is a condition on the rows, with its parameters."""
        self._first = first
        # Each run's page is looked up by itself, in the order of the index that begins with the
        # run and the key, with whatever statistics there are, or none. A place is of one tenant's
        # part alone where tables are divided; by the range of keys, a plan that does not go by the
        # place reads little more than the page.
        self._statement = Statement(f"""
            WITH page AS MATERIALIZED (
                SELECT u.run, p.place, p.key
                  FROM unnest(CAST(:runs AS text[]), CAST(:afters AS {key_type}[]))
                       AS u (run, after)
                 CROSS JOIN LATERAL (
                       SELECT ctid AS place, {key} AS key FROM {table}
                        WHERE tenant = :tenant AND task_record_id = u.run AND {key} > u.after
                          AND {only}
                        ORDER BY {key} LIMIT :limit) p
            ), gone AS (
                DELETE FROM {table} d USING page
                 WHERE d.tenant = :tenant AND d.task_record_id = ANY(CAST(:runs AS text[]))
                   AND d.{key} > :least AND d.{key} <= (SELECT max(key) FROM page)
                   AND d.ctid = page.place
            )
            SELECT run, key FROM page ORDER BY run, key
        """)  # noqa: S608 - names of our own

    async def pages(
        self, tx: Transaction, tenant: str, runs: Iterable[str], **parameters: Any
    ) -> AsyncIterator[list[tuple[str, Any]]]:
        """Deletes while it is iterated: the (run, key)s of one page after the other."""
        afters: dict[str, Any] = dict.fromkeys(runs, self._first)
        while afters:
            limit = max(1, ROWS // len(afters))
            found: Sequence[Any] = await tx.fetch(
                self._statement,
                {
                    "tenant": tenant,
                    "runs": [*afters],
                    "afters": [*afters.values()],
                    "least": min(afters.values()),
                    "limit": limit,
                    **parameters,
                },
            )
            page: list[tuple[str, Any]] = [(run, key) for run, key in found]
            counts = Counter(run for run, _ in page)
            afters.update(page)  # of each run the last one, for they are in order
            afters = {run: key for run, key in afters.items() if counts[run] == limit}
            yield page
