"""The contract's table of classes, RPC by RPC."""

from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # has no types
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]  # the same
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from vwed_grpc.rpc.call_classes import CallClass, rule_of

URGENT = "HeartbeatTaskRecord ReportBlock ReportBlocks StreamBlockReports FinishTaskRecord"
BULK = """
ListDataCache BatchGetTaskRecords ListTaskRecords ListBlockRecords ListTaskRecordEvents
CreateTaskDef BatchGetTaskDefs ListTaskDefs UpdateTaskDef DeleteTaskDef UndeleteTaskDef
EnableTaskDef DisableTaskDef ListTaskDefVersions RollbackTaskDef DiffTaskDefVersions
CreateTaskTemplate ListTaskTemplates ListTaskTemplateVersions UpdateTaskTemplate
DeleteTaskTemplate UndeleteTaskTemplate InstantiateTaskTemplate ExportTaskDefs ImportTaskDefs
"""
FIGURES = "SummarizeTaskRecords SummarizeBlockRecords PruneTaskRecords"
LIVE = """
SetDataCache GetDataCache BatchSetDataCache BatchGetDataCache IncrementDataCache TouchDataCache
DeleteDataCache ClearDataCache CreateTaskRecord GetTaskRecord UpdateTaskRecord DeleteTaskRecord
ClaimTaskRecords StartTaskRecord ReleaseTaskRecord PauseTaskRecord ResumeTaskRecord
CancelTaskRecord RetryTaskRecord SignalTaskRecord GetBlockRecord WatchTaskRecord WatchTaskRecords
GetTaskDef GetTaskTemplate
"""
LASTS = {
    "StreamBlockReports",
    "WatchTaskRecord",
    "WatchTaskRecords",
    "ExportTaskDefs",
    "ImportTaskDefs",
}
METHODS = [
    method
    for file in (cache_service_pb2, record_service_pb2, task_def_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def test_each_rpc_has_its_class() -> None:
    said = {
        name: call_class
        for call_class, names in (
            (CallClass.URGENT, URGENT),
            (CallClass.BULK, BULK),
            (CallClass.FIGURES, FIGURES),
            (CallClass.LIVE, LIVE),
        )
        for name in names.split()
    }
    assert {method.name: rule_of(method).call_class for method in METHODS} == said
    assert len(METHODS) == len(said)


def test_what_only_reads_or_deletes_needs_no_more_of_the_disk() -> None:
    verbs = ("Get", "BatchGet", "List", "Watch", "Summarize", "Diff", "Export", "Heartbeat")
    removes = {
        *("DeleteDataCache", "ClearDataCache", "PruneTaskRecords"),
        *("DeleteTaskRecord", "DeleteTaskDef", "DeleteTaskTemplate"),
    }
    for method in METHODS:
        keeps = method.name.startswith(verbs) or method.name in removes
        assert rule_of(method).grows is not keeps, method.name


def test_streams_last() -> None:
    assert {method.name for method in METHODS if rule_of(method).lasts} == LASTS


def test_standard_services_are_admitted_as_well() -> None:
    for file, call_class in (
        (health_pb2, CallClass.PROBE),
        (reflection_pb2, CallClass.BULK),
        (channelz_pb2, CallClass.BULK),
    ):
        (service,) = file.DESCRIPTOR.services_by_name.values()
        for method in service.methods:
            rule = rule_of(method)
            assert rule.call_class is call_class
            assert not rule.grows
            assert rule.lasts is (method.name in {"Watch", "ServerReflectionInfo"})
