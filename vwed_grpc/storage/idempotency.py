"""Request ids: the same request again changes nothing, another one under the same id is refused."""

import hashlib
from datetime import timedelta

from google.protobuf.message import Message

from vwed_grpc.domain.errors import AlreadyExists
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.sweep import Sweep
from vwed_grpc.storage.transaction import Transaction

KEPT = timedelta(hours=24)


# One that has expired is as good as none.
_TAKE = Statement("""
    INSERT INTO idempotency_keys AS k
           (tenant, request_id, method, fingerprint, resource_ids, expire_time)
    VALUES (:tenant, :request_id, :method, :fingerprint, '{}', :expire_time)
        ON CONFLICT (tenant, request_id) DO UPDATE
       SET method = excluded.method, fingerprint = excluded.fingerprint,
           resource_ids = excluded.resource_ids, expire_time = excluded.expire_time
     WHERE k.expire_time <= :now
 RETURNING request_id
""")
_TAKEN = Statement("""
    SELECT fingerprint, resource_ids FROM idempotency_keys
     WHERE tenant = :tenant AND request_id = :request_id
""")
_REMEMBER = Statement("""
    UPDATE idempotency_keys SET resource_ids = CAST(:ids AS text[])
     WHERE tenant = :tenant AND request_id = :request_id
""")


async def recall(
    tx: Transaction, tenant: str, request_id: str, request: Message
) -> list[str] | None:
    """The ids that this very request made before, or None: it is new and now taken.

    Two calls with one request_id at once: the second waits here for the first's transaction.
    Raises AlreadyExists if another request took the id.
    """
    fingerprint = _fingerprint(request)
    key = {"tenant": tenant, "request_id": request_id.lower()}
    taken = await tx.fetch(
        _TAKE,
        {
            **key,
            "method": request.DESCRIPTOR.name,
            "fingerprint": fingerprint,
            "expire_time": tx.now + KEPT,
            "now": tx.now,
        },
    )
    if taken:
        return None
    (row,) = await tx.fetch(_TAKEN, key)
    if row.fingerprint != fingerprint:
        raise AlreadyExists(
            "REQUEST_ID_REUSED",
            "request_id was used for another request",
            metadata={"request_id": request_id},
        )
    return list(row.resource_ids)


async def remember(tx: Transaction, tenant: str, request_id: str, ids: list[str]) -> None:
    """Notes what a request taken by `recall` has made."""
    await tx.fetch(_REMEMBER, {"tenant": tenant, "request_id": request_id.lower(), "ids": ids})


_SWEEP = Sweep("idempotency_keys", "expire_time <= :now")


async def sweep(tx: Transaction, tenant: str, limit: int) -> int:
    """Forgets what has expired; answers how many."""
    return await _SWEEP.batch(tx, tenant, limit, now=tx.now)


def _fingerprint(request: Message) -> bytes:
    """Of all but the request id, which may come in either case, and whether it is meant.

    What is only validated is answered as the real call would be, also where that was made before.
    """
    digest = hashlib.sha256(request.DESCRIPTOR.full_name.encode())
    known = request.DESCRIPTOR.fields_by_name
    left_out = {n: getattr(request, n) for n in ("request_id", "validate_only") if n in known}
    for name in left_out:
        request.ClearField(name)
    try:  # a copy would cost three times as much
        digest.update(request.SerializeToString(deterministic=True))
    finally:
        for name, value in left_out.items():
            setattr(request, name, value)
    return digest.digest()
