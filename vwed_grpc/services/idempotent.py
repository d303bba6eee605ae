"""The contract's `request_id`: the same request again changes nothing."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from vwed_grpc.rpc.call import Call
from vwed_grpc.storage import idempotency
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Effects, Work


class _Identified(Protocol):
    id: str


R = TypeVar("R", bound=_Identified)


def idempotent(
    call: Call,
    request: Any,
    *,
    make: Callable[[Transaction, Effects], Awaitable[R]],
    again: Callable[[Transaction, str], Awaitable[R]],
) -> Work[R]:
    """Makes a resource, or, if this request_id made it before, answers its present state.

    `again` gets the id of what was made. Raises AlreadyExists if another request had the
    request_id.
    """

    async def work(tx: Transaction, effects: Effects) -> R:
        if not request.request_id:
            return await make(tx, effects)
        key = call.tenant, request.request_id
        ids = await idempotency.recall(tx, *key, request=request)
        if ids is not None:
            return await again(tx, ids[0])
        made = await make(tx, effects)
        await idempotency.remember(tx, *key, ids=[made.id])
        return made

    return work
