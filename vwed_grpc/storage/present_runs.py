"""Whether there are such runs already: what forbids to make, to retry or to delete one."""

import sqlalchemy as sa

from vwed_grpc.domain.errors import AlreadyExists
from vwed_grpc.domain.lifecycle import OPEN
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.task_records import among, c
from vwed_grpc.storage.transaction import Transaction


def _first(column: sa.Column[str], *more: sa.ColumnElement[bool]) -> Statement:
    """A run of the tenant's whose column has `value`."""
    return Statement(
        sa.select(c.id)
        .where(c.tenant == sa.bindparam("tenant"), column == sa.bindparam("value"), *more)
        .limit(sa.literal_column("1"))
    )


_OPEN_RUN_WITH = _first(c.external_id, among(OPEN), c.id != sa.bindparam("but"))
_OPEN_OF = _first(c.task_def_id, among(OPEN))
_OPEN_IN_CHAIN = _first(c.retry_chain, c.retry_chain != sa.literal_column("''"), among(OPEN))
_BELOW = _first(c.parent_task_record_id)


async def _id_of(tx: Transaction, statement: Statement, tenant: str, value: str) -> str | None:
    found = await tx.fetch(statement, {"tenant": tenant, "value": value})
    return found[0].id if found else None


_RESERVE = Statement("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


async def require_unique(tx: Transaction, tenant: str, external_id: str, but: str = "") -> None:
    """Raises AlreadyExists if an open run, another than `but`, carries the external id.

    Until the transaction ends nobody else who asks for it can take this external id. To be asked
    once every run that the transaction locks is locked.
    """
    # Serializes those who ask for uniqueness of this very external id, and nobody else.
    await tx.fetch(_RESERVE, {"name": f"{tenant}\x1f{external_id}"})
    found = await tx.fetch(_OPEN_RUN_WITH, {"tenant": tenant, "value": external_id, "but": but})
    if found:
        raise AlreadyExists(
            "EXTERNAL_ID_TAKEN",
            f"run {found[0].id!r} with external_id {external_id!r} is open",
            metadata={"id": found[0].id},
        )


async def open_of(tx: Transaction, tenant: str, task_def_id: str) -> bool:
    """Whether a definition has open runs."""
    return await _id_of(tx, _OPEN_OF, tenant, task_def_id) is not None


async def open_in_chain(tx: Transaction, tenant: str, chain: str) -> str | None:
    """The id of an open run of a chain of retries, while no other retry of it can be made."""
    await tx.fetch(_RESERVE, {"name": f"{tenant}\x1fretry\x1f{chain}"})
    return await _id_of(tx, _OPEN_IN_CHAIN, tenant, chain)


async def has_runs_below(tx: Transaction, tenant: str, id_: str) -> bool:
    """Whether any run, open or not, has this one for its parent."""
    return await _id_of(tx, _BELOW, tenant, id_) is not None
