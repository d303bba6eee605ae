"""What servicers work with, wired by `server`; and the few things that all of them do alike."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from google.protobuf.message import Message
from vwed.v1.common_pb2 import View

from vwed_grpc.cache.keys import KeySpace
from vwed_grpc.cache.local import LocalVersions
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.domain.errors import InvalidArgument, VwedError
from vwed_grpc.domain.ids import ID, ID_DEMAND
from vwed_grpc.domain.ordering import parse_order_by
from vwed_grpc.domain.paging import decode, encode, foreign_token, page_size, request_fingerprint
from vwed_grpc.domain.retention import Retention
from vwed_grpc.domain.wire_format import field
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.offload import offload
from vwed_grpc.storage import idempotency, task_records
from vwed_grpc.storage.database import Database
from vwed_grpc.storage.listing import Listing
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.watching.hub import Hub
from vwed_grpc.watching.log import TailedLogs
from vwed_grpc.watching.wakeups import Wakeups
from vwed_grpc.writes.claims import Claims
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.writer import Writer

M = TypeVar("M", bound=Message)
A = TypeVar("A")
R = TypeVar("R", bound="Identified")

DEFINITION_TTL = 60.0
RUN_TTL = 5.0
"""Seconds in Redis; two more for the lease give the contract's bounds of 62 and 7."""


@dataclass(frozen=True)
class Backend:
    database: Database
    cache: ReadThrough
    versions: LocalVersions
    keys: KeySpace
    committer: Committer
    claims: Claims
    writer: Writer
    hub: Hub
    logs: TailedLogs
    wakeups: Wakeups
    retention: Mapping[str, Retention]


class Identified(Protocol):
    """A resource with an id."""

    id: str


class Servicer:
    """A servicer's methods bear the names of their RPCs; see `rpc.methods`."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def write(
        self,
        call: Call,
        work: Callable[[Transaction, Effects], Awaitable[A]],
        *,
        validate_only: bool = False,
    ) -> A:
        """Runs `work` in a transaction, commits, tells the others, and answers."""
        b = self.backend
        return await b.committer.run(
            b.database.live, work, call.remaining, validate_only=validate_only
        )

    async def write_bulk(
        self,
        call: Call,
        work: Callable[[Transaction, Effects], Awaitable[A]],
        *,
        validate_only: bool = False,
    ) -> A:
        """As `write`, for what may be large: it keeps no report or heartbeat waiting."""
        b = self.backend
        return await b.committer.run(
            b.database.bulk, work, call.remaining, validate_only=validate_only
        )

    async def page(
        self,
        request: Any,
        call: Call,
        listing: Listing[M],
        where: Sequence[sa.ColumnElement[bool]],
        *,
        fields: Collection[str],
        default: str,
        tie_breaker: str = "id",
        alternatives: Sequence[sa.ColumnElement[bool]] = (),
    ) -> tuple[list[M], str, int]:
        """One page of a list request: its items, the next page's token, and the total if asked."""
        order = parse_order_by(request.order_by, fields, default, tie_breaker)
        size = page_size(request.page_size)
        fingerprint = request_fingerprint(call.tenant, request.DESCRIPTOR.name, request)
        kinds = [listing.orders[term.field].type.python_type for term in order]
        copy = self.backend.database.incarnation.value.copy
        position = None
        if request.page_token:
            # Of another copy of the data, what comes next would be another question.
            of_what, *values = decode(request.page_token, fingerprint, [str, *kinds])
            if of_what != copy:
                raise foreign_token()
            position = tuple(values)
        page = await listing.page(
            self.backend.database.bulk,
            where,
            order,
            size=size,
            position=position,
            full=request.view == View.VIEW_FULL,
            total=request.include_total,
            alternatives=alternatives,
        )
        token = encode(fingerprint, (copy, *page.next_position)) if page.next_position else ""
        return page.items, token, page.total

    async def run_must_exist(self, call: Call, run: str) -> None:
        """Asked when nothing was found: a missing run must not look like an empty one."""
        if await task_records.get(self.backend.database.live, call.tenant, run) is None:
            raise task_records.missing(run)


async def idempotent(
    tx: Transaction,
    call: Call,
    request: Any,
    make: Callable[[], Awaitable[R]],
    again: Callable[[str], Awaitable[R]],
) -> R:
    """Makes a resource, or, if this request_id made it before, answers its present state."""
    if not request.request_id:
        return await make()
    ids = await idempotency.recall(tx, call.tenant, request.request_id, request)
    if ids is not None:
        return await again(ids[0])
    made = await make()
    await idempotency.remember(tx, call.tenant, request.request_id, [made.id])
    return made


def named_id(id_: str, path: str) -> None:
    """An update must name its resource: its rules are not those of a create."""
    if not ID.fullmatch(id_):
        raise InvalidArgument.of(f"{path}.id", ID_DEMAND if id_ else "is required")


async def list_response(answer: Message, name: str, items: Sequence[Message]) -> bytes:
    """The answer with the items in the field of that name."""
    number = answer.DESCRIPTOR.fields_by_name[name].number
    return await offload(sum(item.ByteSize() for item in items), _joined, answer, number, items)


def _joined(answer: Message, number: int, items: Sequence[Message]) -> bytes:
    # Put together as bytes, for to append a message copies it. The loop gets its turn between them.
    parts = [field(number, item.SerializeToString()) for item in items]
    return b"".join([*parts, answer.SerializeToString()])


def in_order(
    found: Mapping[str, M], ids: Iterable[str], missing: Callable[[str], VwedError]
) -> list[M]:
    """A batch's answers in the order of its request. Raises `missing` of the first that is not."""
    items = []
    for id_ in ids:
        if id_ not in found:
            raise missing(id_)
        items.append(found[id_])
    return items
