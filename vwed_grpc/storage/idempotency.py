"""Request ids: the same request again changes nothing, another one under the same id is refused."""

import hashlib
from datetime import timedelta
from typing import Any, cast

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy import CursorResult
from sqlalchemy.dialects.postgresql import insert

from vwed_grpc.domain.errors import AlreadyExists
from vwed_grpc.storage.database import Transaction
from vwed_grpc.storage.tables import idempotency_keys as keys

KEPT = timedelta(hours=24)


async def recall(
    tx: Transaction, tenant: str, request_id: str, request: Message
) -> list[str] | None:
    """The ids that this very request made before, or None: it is new and now taken.

    Two calls with one request_id at once: the second waits here for the first's transaction.
    Raises AlreadyExists if another request took the id.
    """
    fingerprint = _fingerprint(request)
    mine = {
        "tenant": tenant,
        "request_id": request_id.lower(),
        "method": request.DESCRIPTOR.name,
        "fingerprint": fingerprint,
        "resource_ids": [],
        "expire_time": tx.now + KEPT,
    }
    new = insert(keys).values(mine)
    fresh = {name: new.excluded[name] for name in mine}
    taken = await tx.session.execute(
        # One that has expired is as good as none.
        new.on_conflict_do_update(
            index_elements=[keys.c.tenant, keys.c.request_id],
            set_=fresh,
            where=keys.c.expire_time <= tx.now,
        ).returning(keys.c.request_id)
    )
    if taken.one_or_none() is not None:
        return None
    row = (
        await tx.session.execute(
            sa.select(keys).where(keys.c.tenant == tenant, keys.c.request_id == request_id.lower())
        )
    ).one()
    if row.fingerprint != fingerprint:
        raise AlreadyExists(
            "REQUEST_ID_REUSED",
            "request_id was used for another request",
            metadata={"request_id": request_id},
        )
    return list(row.resource_ids)


async def remember(tx: Transaction, tenant: str, request_id: str, ids: list[str]) -> None:
    """Notes what a request taken by `recall` has made."""
    await tx.session.execute(
        sa.update(keys)
        .where(keys.c.tenant == tenant, keys.c.request_id == request_id.lower())
        .values(resource_ids=ids)
    )


_SWEEP = sa.text("""
    DELETE FROM idempotency_keys k
     USING (SELECT request_id FROM idempotency_keys
             WHERE tenant = :tenant AND expire_time <= :now
             LIMIT :limit FOR UPDATE SKIP LOCKED) dead
     WHERE k.tenant = :tenant AND k.request_id = dead.request_id
""")


async def sweep(tx: Transaction, tenant: str, limit: int) -> int:
    """Forgets what has expired; answers how many."""
    swept = await tx.session.execute(_SWEEP, {"tenant": tenant, "now": tx.now, "limit": limit})
    return cast("CursorResult[Any]", swept).rowcount


def _fingerprint(request: Message) -> bytes:
    """Of all but the request id, which may come in either case."""
    arguments = type(request)()
    arguments.CopyFrom(request)
    arguments.ClearField("request_id")
    digest = hashlib.sha256(request.DESCRIPTOR.full_name.encode())
    digest.update(arguments.SerializeToString(deterministic=True))
    return digest.digest()
