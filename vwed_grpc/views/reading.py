"""What a terminal and a console read of a run."""

from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import GetTaskRecordRequest, ListBlockRecordsRequest
from vwed.v1.task_def_service_pb2 import GetTaskDefRequest
from vwed.v1.task_record_pb2 import TaskRecord

from vwed.client import Client, PermissionDenied, as_dict, pages
from vwed_grpc.views.run_view import Config, RunView

PAGE = 1_000


async def read_run(client: Client, run_id: str) -> TaskRecord:
    return await client.records.GetTaskRecord(GetTaskRecordRequest(id=run_id))


async def read_config(client: Client, run: TaskRecord) -> list[Config]:
    """The blocks of the definition's version that the run is pinned to.

    None for whoever may not read definitions: then the run is what was reported of it.
    """
    try:
        definition = await client.definitions.GetTaskDef(
            GetTaskDefRequest(id=run.task_def_id, version=run.task_def_version)
        )
    except PermissionDenied:
        return []
    blocks: list[Config] = as_dict(definition.config).get("blocks", [])
    return blocks


async def read_view(client: Client, run_id: str, *, full: bool = False) -> RunView:
    """A run with all its blocks; `full`: with what they took and gave."""
    run = await read_run(client, run_id)
    view = RunView(run, await read_config(client, run))
    request = ListBlockRecordsRequest(
        task_record_id=run_id,
        page_size=PAGE,
        view=View.VIEW_FULL if full else View.VIEW_BASIC,
    )
    async for block in pages(client.records.ListBlockRecords, request):
        view.put(block)
    return view
