"""`order_by`, as the contract and AIP-132 have it."""

import pytest

from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.domain.ordering import OrderTerm, parse_order_by

FIELDS = ("create_time", "start_time", "priority")
ID = OrderTerm("id")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", (OrderTerm("create_time", descending=True), ID)),
        ("   ", (OrderTerm("create_time", descending=True), ID)),
        ("create_time desc, id", (OrderTerm("create_time", descending=True), ID)),
        ("  create_time   desc ,id ", (OrderTerm("create_time", descending=True), ID)),
        ("priority asc", (OrderTerm("priority"), ID)),
        ("priority,start_time", (OrderTerm("priority"), OrderTerm("start_time"), ID)),
        ("id", (ID,)),
        ("id desc", (OrderTerm("id", descending=True),)),
        ("id desc, priority", (OrderTerm("id", descending=True), OrderTerm("priority"))),
    ],
)
def test_terms_end_with_the_tie_breaker(text: str, terms: tuple[OrderTerm, ...]) -> None:
    assert parse_order_by(text, FIELDS, "create_time desc") == terms


def test_the_tie_breaker_may_be_another() -> None:
    first_seq = (OrderTerm("first_seq"),)
    assert parse_order_by("", (), "first_seq", "first_seq") == first_seq
    assert parse_order_by("first_seq", (), "first_seq", "first_seq") == first_seq
    with pytest.raises(InvalidArgument, match="'id' is not one of first_seq"):
        parse_order_by("id", (), "first_seq", "first_seq")


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "Create_time",
        "create_time DESC",
        "create_time descending",
        "create_time desc asc",
        "create_time, create_time desc",
        "id, id",
        ",",
        "create_time,",
        ",create_time",
        "create_time,,id",
        "desc",
        "create_time; drop table task_record",
        "create_time desc nulls first",
        "(select 1)",
        "1",
        "id--",
        "id\0",
        "x" * 100_000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_order_by(text, FIELDS, "create_time desc")
    [violation] = refused.value.violations
    assert violation.field == "order_by"
    assert violation.description.startswith(("must be like ", "names ")) or (
        violation.description.endswith(" is not one of create_time, id, priority, start_time")
    )
    assert len(violation.description) < 200
