"""The `order_by` of list requests, as AIP-132 writes it: `"create_time desc, id"`."""

from collections.abc import Collection
from dataclasses import dataclass

from vwed_grpc.domain.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One field to order by; unset values come last in both directions."""

    field: str
    descending: bool = False


def parse_order_by(
    text: str, fields: Collection[str], default: str, tie_breaker: str = "id"
) -> tuple[OrderTerm, ...]:
    """The terms of `text`, or of `default` if it is blank, made total by the unique `tie_breaker`.

    The tie-breaker may be named like any of `fields`; it is appended, ascending, if it is not.

    Raises:
        InvalidArgument: On `order_by`, for an empty term, an unknown field, a field named twice or
            anything after a field but `asc` or `desc`.
    """
    terms: dict[str, OrderTerm] = {}
    for term in (text if text.strip() else default).split(","):
        match term.split():
            case [field] | [field, "asc"]:
                descending = False
            case [field, "desc"]:
                descending = True
            case _:
                raise InvalidArgument.of("order_by", 'must be like "create_time desc, id"')
        if field not in fields and field != tie_breaker:
            known = ", ".join(sorted({*fields, tie_breaker}))
            raise InvalidArgument.of("order_by", f"{field[:64]!r} is not one of {known}")
        if field in terms:
            raise InvalidArgument.of("order_by", f"names {field} twice")
        terms[field] = OrderTerm(field, descending)
    terms.setdefault(tie_breaker, OrderTerm(tie_breaker))
    return tuple(terms.values())
