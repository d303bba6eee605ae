"""What lists and batch gets do alike: a page of a list, and answers put together as bytes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from google.protobuf.message import Message
from vwed.v1.common_pb2 import View

from vwed_grpc.domain.errors import VwedError
from vwed_grpc.domain.ordering import parse_order_by
from vwed_grpc.domain.paging import decode, encode, foreign_token, page_size, request_fingerprint
from vwed_grpc.domain.wire_format import field
from vwed_grpc.loop.turns import in_turns
from vwed_grpc.rpc.call import Call
from vwed_grpc.storage.listing import Listing
from vwed_grpc.storage.pool import Pool, ReadingPool

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class ListPage(Generic[M]):
    """What a list request is answered with."""

    items: list[M]
    next_page_token: str
    total_size: int
    """0 unless it was asked for."""

    async def response(self, message: Callable[..., Message], name: str) -> bytes:
        """A message of that type, with the items in the field of that name."""
        answer = message(next_page_token=self.next_page_token, total_size=self.total_size)
        return await list_response(answer, name, self.items)


async def list_page(
    call: Call,
    request: Any,
    *,
    bulk: ReadingPool,
    figures: Pool,
    listing: Listing[M],
    where: Sequence[sa.ColumnElement[bool]],
    default_order: str,
    tie_breaker: str = "id",
    alternatives: Sequence[sa.ColumnElement[bool]] = (),
) -> ListPage[M]:
    """The page that a list request asks for, in one of the orders of the listing.

    A total, which has to go through all pages, has the places and connections of the figures.

    Raises InvalidArgument for the request's page_size, page_token or order_by.
    """
    order = parse_order_by(request.order_by, listing.orders, default_order, tie_breaker=tie_breaker)
    size = page_size(request.page_size)
    fingerprint = request_fingerprint(call.tenant, request.DESCRIPTOR.name, request)
    kinds = [listing.orders[term.field].type.python_type for term in order]
    copy = bulk.incarnation.value.copy
    position = None
    if request.page_token:
        # Of another copy of the data, what comes next would be another question.
        of_what, *values = decode(request.page_token, fingerprint, [str, *kinds])
        if of_what != copy:
            raise foreign_token()
        position = tuple(values)
    page = await listing.page(
        bulk,
        where,
        order,
        size=size,
        position=position,
        full=request.view == View.VIEW_FULL,
        alternatives=alternatives,
    )
    token = encode(fingerprint, (copy, *page.next_position)) if page.next_position else ""
    total = 0
    if request.include_total:
        await call.go_on_among_figures()
        total = await listing.total(figures, where, alternatives)
    return ListPage(page.items, token, total)


async def list_response(answer: Message, name: str, items: Sequence[Message]) -> bytes:
    """The answer with the items in the field of that name."""
    number = answer.DESCRIPTOR.fields_by_name[name].number

    def part_of(item: Message) -> bytes:
        return field(number, item.SerializeToString())

    # Put together as bytes, for to append a message copies it.
    return b"".join([*await in_turns(part_of, items), answer.SerializeToString()])


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
