"""What every request and answer looks like, read off the descriptors."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
    MethodDescriptor,
)
from vwed.v1 import (
    block_record_pb2,
    cache_service_pb2,
    common_pb2,
    data_cache_pb2,
    record_service_pb2,
    task_def_pb2,
    task_def_service_pb2,
    task_record_event_pb2,
    task_record_pb2,
    task_template_pb2,
)

PROTOS = Path(__file__).parents[2] / "protos"
FILES: list[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (
        *(task_def_service_pb2, record_service_pb2, cache_service_pb2, common_pb2),
        *(task_def_pb2, task_template_pb2, task_record_pb2, task_record_event_pb2),
        *(block_record_pb2, data_cache_pb2),
    )
]
METHODS: dict[str, MethodDescriptor] = {
    method.name: method
    for file in FILES
    for service in file.services_by_name.values()
    for method in service.methods
}
OF_ONE = re.compile(
    "(Get|Delete|Undelete|Enable|Disable|Rollback|Diff|Instantiate|Start|Heartbeat|Release|Pause"
    "|Resume|Cancel|Finish|Retry|Signal|Increment|Touch).*|List.*Versions"
)
OF_A_RUN = re.compile("(?!Summarize|SetDataCache).*(Block|DataCache|Events).*|WatchTaskRecord")
"""What is about a part of one run."""


def messages(of: FileDescriptor | Descriptor) -> Iterator[Descriptor]:
    inner = of.message_types_by_name if isinstance(of, FileDescriptor) else of.nested_types_by_name
    for message in inner.values():
        yield message
        yield from messages(message)


MESSAGES = [message for file in FILES for message in messages(file)]
ENUMS: list[EnumDescriptor] = [
    *chain.from_iterable(file.enum_types_by_name.values() for file in FILES),
    *chain.from_iterable(message.enum_types for message in MESSAGES),
]
FIELDS: list[FieldDescriptor] = [field for message in MESSAGES for field in message.fields]


def type_of(field: FieldDescriptor) -> str:
    """The full name of the message or enum that it holds; empty for a scalar."""
    of = field.message_type or field.enum_type
    return of.full_name if of else ""


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def plural(name: str) -> str:
    return snake(name) if name.endswith("s") else f"{snake(name)}s"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_request_names_what_it_is_about(method: MethodDescriptor) -> None:
    expected = set[str]()
    if OF_A_RUN.fullmatch(method.name):
        expected.add("task_record_id")
    if method.name.startswith("BatchGet"):
        expected.add("keys" if "DataCache" in method.name else "ids")
    elif OF_ONE.fullmatch(method.name):
        expected.add("key" if "DataCache" in method.name else "id")
    naming = {"id", "ids", "task_record_id", "key", "keys", "parent"}
    assert naming.intersection(method.input_type.fields_by_name) == expected


CARRIED = {
    **{name: snake(name[6:]) for name in METHODS if re.match("Create|Update", name)},
    "InstantiateTaskTemplate": "task_def",
    "ReportBlock": "block_record",
    "ReportBlocks": "block_records",
    "StreamBlockReports": "block_records",
    "SetDataCache": "data_cache",
}


def test_what_is_written_stands_under_its_own_name() -> None:
    resources = {"task_def", "task_template", "task_record", "block_record", "data_cache"}
    carried = {
        name: field.name
        for name, method in METHODS.items()
        for field in method.input_type.fields
        if field.message_type and snake(field.message_type.name) in resources
    }
    del carried["ImportTaskDefs"]  # an item is one of two
    assert carried == CARRIED
    for name, field in CARRIED.items():
        of = type_of(METHODS[name].input_type.fields_by_name[field])
        assert snake(of.removeprefix("vwed.v1.")) == field.removesuffix("s")


LISTS = {
    "ListTaskDefs": "task_defs",
    "ListTaskDefVersions": "task_def_versions",
    "ListTaskTemplates": "task_templates",
    "ListTaskTemplateVersions": "task_template_versions",
    "ListTaskRecords": "task_records",
    "ListBlockRecords": "block_records",
    "ListTaskRecordEvents": "events",
    "ListDataCache": "data_caches",
}


def test_lists_ask_and_answer_alike() -> None:
    assert LISTS.keys() == {name for name in METHODS if name.startswith("List")}
    for name, items in LISTS.items():
        request, answer = METHODS[name].input_type, METHODS[name].output_type
        taken = {"page_size", "page_token", "order_by", "view", "include_total"}
        if items in {"task_defs", "task_templates", "task_records", "block_records"}:
            taken.add("filter")  # those of one resource's past or part have no other condition
        assert taken <= {*request.fields_by_name}
        assert {*answer.fields_by_name} == {items, "next_page_token", "total_size"}


def test_standard_methods_and_verbs_answer_the_resource() -> None:
    for name, method in METHODS.items():
        answer = method.output_type.name
        match = re.fullmatch(
            "(Create|Update|Get|Undelete|Enable|Disable|Rollback|Start|Heartbeat|Release|Pause"
            "|Resume|Cancel|Finish|Retry|Signal|Set|Increment|Touch)(.*)",
            name,
        )
        if match:
            assert answer == match[2]
    assert METHODS["DeleteTaskDef"].output_type.name == "TaskDef"  # softly
    assert METHODS["DeleteTaskTemplate"].output_type.name == "TaskTemplate"
    assert METHODS["InstantiateTaskTemplate"].output_type.name == "TaskDef"


def test_verbs_take_an_etag_and_a_reason() -> None:
    no_verb = re.compile("(Get|List|Diff|Instantiate|.*(Block|DataCache)).*")
    for name, method in METHODS.items():
        fields = method.input_type.fields_by_name
        if "id" in fields and not no_verb.fullmatch(name):
            assert "etag" in fields, name
            # A heartbeat writes no event that would bear one; it has a message instead.
            assert "reason" in fields or name == "HeartbeatTaskRecord", name


def with_field(name: str) -> set[str]:
    return {m.name for m in METHODS.values() if name in m.input_type.fields_by_name}


def test_what_may_be_asked_for_once_or_on_trial() -> None:
    created = {"CreateTaskDef", "CreateTaskTemplate", "CreateTaskRecord", "InstantiateTaskTemplate"}
    assert with_field("request_id") == created | {
        *("RetryTaskRecord", "ClaimTaskRecords", "SignalTaskRecord", "IncrementDataCache"),
    }
    updates = {"UpdateTaskDef", "UpdateTaskTemplate", "UpdateTaskRecord"}
    assert with_field("validate_only") == created | updates
    assert with_field("update_mask") == updates


def test_values_bear_the_names_of_their_enums() -> None:
    assert len(ENUMS) > 5
    for enum in ENUMS:
        begin = f"{snake(enum.name).upper()}_"
        assert all(value.name.startswith(begin) for value in enum.values), enum.full_name


def test_lengths_of_time_are_durations() -> None:
    found = [f for f in FIELDS if f.name in {"lease", "wait", "ttl", "bookmark_interval"}]
    assert len(found) > 5
    for field in found:
        assert type_of(field) == "google.protobuf.Duration", field.full_name


def test_numbers_have_their_widths() -> None:
    small = re.compile("(.*_)?version|attempt|priority|max_count|page_size")
    large = re.compile("(.*_)?seqs?|lease_epoch")
    entries = {"vwed.v1.DataCache.version", "vwed.v1.SetDataCacheRequest.if_version"}
    entries.add("vwed.v1.DeleteDataCacheRequest.if_version")
    kinds = {
        field.full_name: (
            FieldDescriptor.TYPE_INT32
            if small.fullmatch(field.name) and field.full_name not in entries
            else FieldDescriptor.TYPE_INT64
        )
        for field in FIELDS
        if small.fullmatch(field.name) or large.fullmatch(field.name)
    }
    assert entries < kinds.keys()
    assert {field.full_name: field.type for field in FIELDS if field.full_name in kinds} == kinds


def test_hard_deletes_answer_nothing_and_a_clear_its_count() -> None:
    for name in ("DeleteTaskRecord", "DeleteDataCache"):
        assert METHODS[name].output_type.full_name == "google.protobuf.Empty"
    assert {*METHODS["ClearDataCache"].output_type.fields_by_name} == {"deleted_count"}


def test_the_departures_from_the_aips() -> None:
    names = {field.name for field in FIELDS}
    assert not {name for name in names if re.fullmatch("(.*_)?states?|parent_name", name)}
    for resource in ("TaskDef", "TaskRecord", "BlockRecord"):
        (message,) = (m for m in MESSAGES if m.name == resource)
        assert type_of(message.fields_by_name["status"]) == f"vwed.v1.{resource}Status"
        assert message.fields_by_name["id"].type == FieldDescriptor.TYPE_STRING
    filters = [field for field in FIELDS if field.name == "filter"]
    assert len(filters) > 5
    assert all(type_of(field).endswith("Filter") for field in filters)


def test_buf_lints_by_the_standard_but_for_what_the_resources_need() -> None:
    text = (PROTOS / "buf.yaml").read_text()
    lint = text.partition("lint:\n")[2].partition("breaking:")[0]
    rules = [line.strip() for line in lint.splitlines() if not line.lstrip().startswith("#")]
    assert rules == [
        "use: [STANDARD]",
        "except:",
        "- RPC_REQUEST_RESPONSE_UNIQUE",
        "- RPC_RESPONSE_STANDARD_NAME",
        "ignore: [buf, google]",
    ]
    assert not list(PROTOS.glob("**/vwed/**/buf*.yaml"))
    assert "buf:lint:ignore" not in "".join(p.read_text() for p in PROTOS.glob("vwed/v1/*.proto"))


def test_the_protos_say_that_numbers_of_json_are_doubles() -> None:
    assert "its numbers are doubles" in (PROTOS / "vwed/v1/common.proto").read_text()
