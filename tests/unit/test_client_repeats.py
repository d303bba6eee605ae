"""Which calls the client may make again, RPC by RPC."""

from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2
from vwed.v1.cache_service_pb2 import BatchSetDataCacheRequest, SetDataCacheRequest

from vwed.client.repeats import RULES

RPCS: dict[str, MethodDescriptor] = {
    rpc.name: rpc
    for module in (cache_service_pb2, record_service_pb2, task_def_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for rpc in service.methods
    if not (rpc.client_streaming or rpc.server_streaming)
}
READS = {name for name in RPCS if name.startswith(("Get", "BatchGet", "List", "Diff", "Summarize"))}
WITH_REQUEST_ID = {n for n, rpc in RPCS.items() if "request_id" in rpc.input_type.fields_by_name}
WITH_ETAG = {n for n, rpc in RPCS.items() if "etag" in rpc.input_type.fields_by_name}
BY_CONTENT = {"ReportBlock", "ReportBlocks", "TouchDataCache"}
UPDATES = {
    "UpdateTaskDef": "task_def",
    "UpdateTaskTemplate": "task_template",
    "UpdateTaskRecord": "task_record",
}
SETS = {"SetDataCache", "BatchSetDataCache"}
NEVER = {
    *("DeleteTaskDef", "DeleteTaskTemplate", "DeleteTaskRecord", "DeleteDataCache"),
    *("UndeleteTaskDef", "UndeleteTaskTemplate", "ClearDataCache", "PruneTaskRecords"),
}


def request(name: str, **fields: Any) -> Any:
    return GetMessageClass(RPCS[name].input_type)(**fields)


def test_every_rpc_is_decided() -> None:
    assert RULES.keys() == RPCS.keys()


@pytest.mark.parametrize("name", sorted(RPCS.keys() - NEVER))
def test_an_empty_request_may_be_made_again(name: str) -> None:
    assert RULES[name](request(name))


@pytest.mark.parametrize("name", sorted(NEVER))
def test_what_answers_otherwise_the_second_time_is_not_made_again(name: str) -> None:
    assert not RULES[name](request(name))


def test_what_may_be_made_again_reads_or_is_idempotent_or_has_a_request_id() -> None:
    transitions = WITH_ETAG - NEVER
    assert RPCS.keys() - NEVER == (
        READS | BY_CONTENT | WITH_REQUEST_ID | UPDATES.keys() | SETS | transitions
    )


@pytest.mark.parametrize("name", sorted(WITH_ETAG))
def test_an_etag_of_the_first_call_is_not_sent_again(name: str) -> None:
    assert not RULES[name](request(name, etag="e"))


@pytest.mark.parametrize("name", sorted(UPDATES))
def test_an_update_by_etag_is_not_made_again(name: str) -> None:
    assert not RULES[name](request(name, **{UPDATES[name]: {"id": "i", "etag": "e"}}))


@pytest.mark.parametrize("precondition", [{"if_absent": True}, {"if_version": 1}], ids=str)
def test_a_set_by_precondition_is_not_made_again(precondition: dict[str, Any]) -> None:
    conditional = SetDataCacheRequest(**precondition)
    assert not RULES["SetDataCache"](conditional)
    batch = BatchSetDataCacheRequest(requests=[SetDataCacheRequest(), conditional])
    assert not RULES["BatchSetDataCache"](batch)
