"""Page sizes, and tokens that are opaque, bound to their arguments and never an internal error."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from vwed.v1.task_def_service_pb2 import ListTaskDefsRequest, TaskDefFilter

from vwed_grpc.domain import paging
from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.paging import Position, decode, encode, page_size, request_fingerprint

FINGERPRINT = b"the arguments"
POSITION = (datetime(2024, 5, 1, tzinfo=UTC), "空托盘", 7, None)
KINDS = [datetime, str, int, str]
TOKEN = encode(FINGERPRINT, POSITION)

POSITIONS = st.lists(
    st.none()
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    | st.integers(-(2**63), 2**63 - 1)
    | st.datetimes(timezones=st.just(UTC)),
    max_size=4,
).map(tuple)


def forged(body: bytes) -> str:
    """What someone who read the source can make."""
    return paging._text(paging._seal(FINGERPRINT, body) + body)


def assert_refused(token: str, kinds: list[type] = KINDS) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decode(token, FINGERPRINT, kinds)
    problem = "is not a token of this list with these arguments"
    assert refused.value.violations == (Violation("page_token", problem),)


@pytest.mark.parametrize(
    ("requested", "size"),
    [(0, 50), (1, 1), (50, 50), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)],
)
def test_page_size(requested: int, size: int) -> None:
    assert page_size(requested) == size


@pytest.mark.parametrize("requested", [-1, -(2**31)])
def test_a_negative_page_size_is_refused(requested: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        page_size(requested)
    assert refused.value.violations == (Violation("page_size", "must not be negative"),)


@given(st.binary(), POSITIONS)
def test_a_token_brings_its_position_back(
    fingerprint: bytes, position: tuple[Position, ...]
) -> None:
    kinds = [str if value is None else type(value) for value in position]
    assert decode(encode(fingerprint, position), fingerprint, kinds) == position


@pytest.mark.parametrize("text", ["", "a", "ab"])
def test_a_token_needs_no_escapes_in_an_address(text: str) -> None:
    assert re.fullmatch(r"[\w-]+", encode(FINGERPRINT, (text,)), re.ASCII)


def test_a_token_of_another_release_is_taken() -> None:
    request = ListTaskDefsRequest(order_by="name", filter=TaskDefFilter(names=["空托盘"]))
    fingerprint = request_fingerprint("t", "ListTaskDefs", request)
    token = "jqp7uY6MTaqd36dVW1sxNzE0NTIxNjAwMDAwMDAwXSwi56m65omY55uYIiw3LG51bGxd"
    assert encode(fingerprint, POSITION) == token
    assert decode(token, fingerprint, KINDS) == POSITION


def test_a_time_of_another_zone_comes_back_in_utc() -> None:
    here = datetime(2024, 5, 1, 8, 0, 0, 123456, timezone(timedelta(hours=2)))
    back = decode(encode(b"", [here]), b"", [datetime])
    assert back == (datetime(2024, 5, 1, 6, 0, 0, 123456, UTC),)


@given(st.text() | st.text("ABCabc019-_=").filter(lambda text: text != TOKEN))
def test_any_other_text_is_refused(token: str) -> None:
    assert_refused(token)


@pytest.mark.parametrize("end", range(len(TOKEN)))
def test_a_truncated_token_is_refused(end: int) -> None:
    assert_refused(TOKEN[:end])


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("AZaz09-_+/= \n!é\0"))
def test_a_changed_token_is_refused(index: int, char: str) -> None:
    changed = TOKEN[:index] + char + TOKEN[index + 1 :]
    if changed != TOKEN:
        assert_refused(changed)
    assert_refused(TOKEN[:index] + char + TOKEN[index:])


@pytest.mark.parametrize("token", [TOKEN + "=", TOKEN + "==", TOKEN + "A", " " + TOKEN])
def test_a_padded_token_is_refused(token: str) -> None:
    assert_refused(token)


def test_a_token_with_other_arguments_is_refused() -> None:
    assert_refused(encode(b"others", POSITION))


SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text()


@given(
    st.binary()
    | st.lists(SCALARS | st.lists(SCALARS, max_size=1), max_size=3).map(
        lambda body: json.dumps(body).encode()
    ),
    st.lists(st.sampled_from([str, int, datetime]), max_size=3),
)
def test_even_a_forged_token_is_a_position_or_refused(body: bytes, kinds: list[type]) -> None:
    try:
        position = decode(forged(body), FINGERPRINT, kinds)
    except InvalidArgument:
        return
    for value, kind in zip(position, kinds, strict=True):
        assert value is None or type(value) is kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'["\\u0000"]', str),
        (b'["\\ud800"]', str),
        (b"[7]", str),
        (b"[9223372036854775808]", int),
        (b"[-9223372036854775809]", int),
        (b"[7.0]", int),
        (b"[NaN]", int),
        (b"[true]", int),
        (b'["a"]', int),
        (b"[[7]]", int),
        (b"[[99999999999999999999]]", datetime),
        (b"[[1e999]]", datetime),
        (b"[[]]", datetime),
        (b"[[1,2]]", datetime),
        (b'[["1"]]', datetime),
        (b"[7]", datetime),
        (b"[]", str),
        (b'["a","a"]', str),
        (b"7", int),
        (b"", str),
        (b"\xff", str),
        (b"[" * 100_000, str),
    ],
)
def test_what_a_column_cannot_take_is_refused(body: bytes, kind: type) -> None:
    assert_refused(forged(body), [kind])


def test_integers_have_64_bits() -> None:
    ends = (-(2**63), 2**63 - 1)
    assert decode(encode(FINGERPRINT, ends), FINGERPRINT, [int, int]) == ends


def test_any_column_may_be_unset() -> None:
    assert decode(encode(b"", (None, "a")), b"", [datetime, str]) == (None, "a")


@pytest.mark.parametrize(
    ("method", "request_", "same"),
    [
        ("ListTaskDefs", ListTaskDefsRequest(order_by="name"), True),
        ("ListTaskDefs", ListTaskDefsRequest(order_by="name", page_size=7), True),
        ("ListTaskDefs", ListTaskDefsRequest(order_by="name", page_token="t"), True),
        ("ListTaskDefs", ListTaskDefsRequest(order_by="id"), False),
        ("ListTaskDefs", ListTaskDefsRequest(order_by="name", include_total=True), False),
        ("ListTaskTemplates", ListTaskDefsRequest(order_by="name"), False),
    ],
)
def test_all_arguments_but_the_page_are_in_the_fingerprint(
    method: str, request_: Message, same: bool
) -> None:
    first = request_fingerprint("t", "ListTaskDefs", ListTaskDefsRequest(order_by="name"))
    assert (request_fingerprint("t", method, request_) == first) is same


def test_the_fingerprint_leaves_the_request_as_it_is() -> None:
    request = ListTaskDefsRequest(page_size=7, page_token="t")
    request_fingerprint("t", "ListTaskDefs", request)
    assert request == ListTaskDefsRequest(page_size=7, page_token="t")


def test_the_order_of_labels_is_no_argument() -> None:
    one, other = ListTaskDefsRequest(), ListTaskDefsRequest()
    for n in range(60):
        one.filter.labels[f"label-{n}"] = "x"
        other.filter.labels[f"label-{59 - n}"] = "x"
    fingerprints = {request_fingerprint("t", "ListTaskDefs", each) for each in (one, other)}
    assert len(fingerprints) == 1
