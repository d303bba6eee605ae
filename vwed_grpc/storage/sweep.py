"""Removing rows that nobody can see any more, a batch at a time."""

from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import CursorResult

from vwed_grpc.storage.transaction import Transaction


class Sweep:
    """Deletes rows of a table; those that others have locked are skipped."""

    def __init__(self, table: str, dead: str) -> None:
        """`dead` is the condition on the rows, with its parameters."""
        # MATERIALIZED, or a plan may ask for the dead anew for each row, and is given others each
        # time. By their place, or it may compare each of them with all rows of a tenant that no
        # statistics know.
        self._statement = sa.text(f"""
              WITH dead AS MATERIALIZED (
                   SELECT ctid AS place FROM {table} WHERE tenant = :tenant AND {dead}
                    LIMIT :limit FOR UPDATE SKIP LOCKED)
            DELETE FROM {table} d USING dead WHERE d.tenant = :tenant AND d.ctid = dead.place
        """)  # noqa: S608 - names of our own

    async def batch(self, tx: Transaction, tenant: str, limit: int, **parameters: Any) -> int:
        """How many were deleted: the limit, if there may be more."""
        swept = await tx.session.execute(
            self._statement, {"tenant": tenant, "limit": limit, **parameters}
        )
        return cast("CursorResult[Any]", swept).rowcount
