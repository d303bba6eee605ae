"""What is said of a broken rule: of every rule of every field that a request can have.

The rules are read off the descriptors, so that a new one cannot be forgotten.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2
from vwed.v1.record_service_pb2 import (
    BatchGetTaskRecordsRequest,
    FinishTaskRecordRequest,
    GetTaskRecordRequest,
    ListTaskRecordsRequest,
    PruneTaskRecordsRequest,
    ReleaseTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import TaskRecordFilter, TaskRecordStatus

from protos.rules import rules_of
from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.rpc.demands import PATTERNS, demand
from vwed_grpc.rpc.validation import _validator, checker, validate

REQUESTS = [
    method.input_type
    for module in (cache_service_pb2, record_service_pb2, task_def_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def reachable(of: Descriptor, seen: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """A message and all that it can hold, of our own."""
    if of.full_name not in seen and of.file.package == "vwed.v1":
        if not of.GetOptions().map_entry:
            seen[of.full_name] = of
        for field in of.fields:
            if field.message_type is not None:
                reachable(field.message_type, seen)
    return seen


MESSAGES: dict[str, Descriptor] = {}
for request in REQUESTS:
    reachable(request, MESSAGES)


def rule_ids(rules: Message) -> Iterator[str]:
    """As protovalidate names them in violations."""
    for field, value in rules.ListFields():
        if field.name == "required":
            yield "required"
        elif field.name == "cel":
            yield from (rule.id for rule in value)
        elif field.message_type is not None:
            yield from _ids_of_kind(field.name, value)


def _ids_of_kind(kind: str, rules: Message) -> Iterator[str]:
    given = {field.name: value for field, value in rules.ListFields()}
    for inner in ("items", "keys", "values"):
        if inner in given:
            yield from rule_ids(given.pop(inner))
    lower = next((name for name in ("gt", "gte") if name in given), None)
    upper = next((name for name in ("lt", "lte") if name in given), None)
    if lower and upper:
        yield f"{kind}.{lower}_{upper}"
        del given[lower], given[upper]
    yield from (f"{kind}.{name}" for name in given)


def ignored(field: FieldDescriptor) -> bool:
    """Whether the service itself checks what is in it."""
    rules: Any = rules_of(field)
    always = rules.DESCRIPTOR.fields_by_name["ignore"].enum_type.values_by_name["IGNORE_ALWAYS"]
    return bool(rules.ignore == always.number)


def declared() -> set[tuple[str, str]]:
    return {
        (field.full_name, rule)
        for of in MESSAGES.values()
        for field in of.fields
        for rule in rule_ids(rules_of(field))
        if not ignored(field)
    }


LONG = 1_100_000
WRONG: dict[int, list[Any]] = {
    FieldDescriptor.TYPE_STRING: ["", "x" * LONG, "no id!", "3."],
    FieldDescriptor.TYPE_BYTES: [b"x" * LONG],
    FieldDescriptor.TYPE_INT32: [0, -1, 2**31 - 1],
    FieldDescriptor.TYPE_INT64: [-1],
    FieldDescriptor.TYPE_DOUBLE: [-1.0, float("inf")],
    FieldDescriptor.TYPE_ENUM: [0, 1, 99],
}
SECONDS = [(-(10**11), 0), (10**9, 0), (3 * 10**11, 0), (0, 500_000_000)]


def broken(of: Descriptor, field: FieldDescriptor) -> Iterator[Message]:
    """Messages with something wrong in one field."""
    made = GetMessageClass(of)
    yield made()
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        for pairs in ({"No Key": "v"}, {"k": "x" * 300}, {f"k{n}": "v" for n in range(65)}):
            yield made(**{field.name: pairs})
    elif entry is not None and field.is_repeated:
        yield made(**{field.name: [GetMessageClass(entry)()] * 1001})
    elif entry is not None and "seconds" in entry.fields_by_name:
        for seconds, nanos in SECONDS:
            yield made(**{field.name: GetMessageClass(entry)(seconds=seconds, nanos=nanos)})
    elif entry is None:
        for value in WRONG.get(field.type, []):
            if field.is_repeated:
                yield made(**{field.name: [value, value]})
                yield made(**{field.name: [value] * 1001} if value in (0, "") else {})
            else:
                yield made(**{field.name: value})


def provoked() -> Iterator[tuple[FieldDescriptor, str, str]]:
    """Field, rule and text of everything that was wrong with a field of its own."""
    for of in MESSAGES.values():
        for field in of.fields:
            for message in broken(of, field):
                for found in _validator.collect_violations(message):
                    path = found.proto.field.elements if found.proto.field else ()
                    if [element.field_name for element in path] == [field.name]:
                        yield field, found.proto.rule_id, demand(of, found)


@pytest.fixture(scope="module")
def texts() -> set[tuple[FieldDescriptor, str, str]]:
    return set(provoked())


def test_every_rule_was_broken(texts: set[tuple[FieldDescriptor, str, str]]) -> None:
    assert {(field.full_name, rule) for field, rule, _ in texts} == declared()


def test_no_text_has_a_regex_or_a_number_for_a_name(
    texts: set[tuple[FieldDescriptor, str, str]],
) -> None:
    for field, rule, text in texts:
        assert text, (field.full_name, rule)
        assert not re.search(r"[][^$\\{}*|`]|regex|pattern|list", text), (field.full_name, text)
        if field.enum_type is not None and rule.startswith("enum."):
            assert not re.search(r"\d", text), (field.full_name, text)


def test_every_pattern_of_the_protos_has_its_words() -> None:
    def patterns(rules: Message) -> Iterator[str]:
        for field, value in rules.ListFields():
            if field.name == "pattern":
                yield value
            elif field.message_type is not None and not field.is_repeated:
                yield from patterns(value)

    found = {
        pattern
        for of in MESSAGES.values()
        for field in of.fields
        for pattern in patterns(rules_of(field))
    }
    assert found == PATTERNS.keys()


def said_of(request: Message) -> dict[str, str]:
    problem = checker(type(request))(request.SerializeToString()).problem
    assert problem is not None
    return {violation.field: violation.description for violation in problem.violations}


RUNNING = TaskRecordStatus.TASK_RECORD_STATUS_RUNNING
UNSPECIFIED = TaskRecordStatus.TASK_RECORD_STATUS_UNSPECIFIED
ONE_OF = (
    "must be TASK_RECORD_STATUS_SUCCEEDED, TASK_RECORD_STATUS_FAILED or TASK_RECORD_STATUS_CANCELED"
)


@pytest.mark.parametrize(
    ("request_", "field", "text"),
    [
        (FinishTaskRecordRequest(id="r"), "status", "is required"),
        (FinishTaskRecordRequest(id="r", status=RUNNING), "status", ONE_OF),
        (GetTaskRecordRequest(), "id", "is required"),
        (BatchGetTaskRecordsRequest(), "ids", "is required"),
        (BatchGetTaskRecordsRequest(ids=["a", ""]), "ids[1]", "is required"),
        (PruneTaskRecordsRequest(), "ended_before", "is required"),
        (ReleaseTaskRecordRequest(id="r", executor_id="e"), "lease_epoch", "is required"),
        (
            ListTaskRecordsRequest(filter=TaskRecordFilter(statuses=[UNSPECIFIED])),
            "filter.statuses[0]",
            "must not be TASK_RECORD_STATUS_UNSPECIFIED",
        ),
        (
            task_def_service_pb2.DiffTaskDefVersionsRequest(id="d", from_version=1),
            "to_version",
            "is required",
        ),
        (
            task_def_service_pb2.CreateTaskDefRequest(task_def=TaskDef(name="n", labels={"Ä": ""})),
            'task_def.labels["Ä"]',
            f"the key {PATTERNS['^[a-z0-9][a-z0-9_.-]{0,62}$']}",
        ),
    ],
)
def test_what_is_said(request_: Message, field: str, text: str) -> None:
    assert said_of(request_) == {field: text}


def test_what_an_update_would_make_is_described_alike() -> None:
    with pytest.raises(InvalidArgument) as refused:
        validate(TaskDef(name="", labels={"k": "x" * 257}), "task_def")
    assert {v.field: v.description for v in refused.value.violations} == {
        "task_def.name": "is required",
        'task_def.labels["k"]': "must be at most 256 characters",
    }
