"""The contract's `request_id`: the same request again changes nothing."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from vwed_grpc.rpc.call import Call
from vwed_grpc.storage import idempotency
from vwed_grpc.storage.transaction import Transaction


class _Identified(Protocol):
    id: str


R = TypeVar("R", bound=_Identified)


async def idempotent(
    tx: Transaction,
    call: Call,
    request: Any,
    *,
    make: Callable[[], Awaitable[R]],
    again: Callable[[str], Awaitable[R]],
) -> R:
    """Makes a resource, or, if this request_id made it before, answers its present state.

    `again` gets the id of what was made. Raises AlreadyExists if another request had the id.
    """
    if not request.request_id:
        return await make()
    ids = await idempotency.recall(tx, call.tenant, request.request_id, request=request)
    if ids is not None:
        return await again(ids[0])
    made = await make()
    await idempotency.remember(tx, call.tenant, request.request_id, ids=[made.id])
    return made
