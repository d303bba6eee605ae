import click
from google.protobuf.json_format import MessageToDict
from vwed.v1.record_service_pb2 import GetTaskRecordRequest
from vwed.v1.task_def_service_pb2 import GetTaskDefRequest

from vwed.client import Client, watch_run
from vwed_grpc.cli.event_line import BlockDepths, event_line
from vwed_grpc.cli.target import Target, run, target_options


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "--after-seq",
    type=click.IntRange(min=0),
    help="Only the events after this one, 0: all that are kept. Else the present states first.",
)
@target_options
def watch(run_id: str, after_seq: int | None, target: Target) -> None:
    """Print what happens in a run, a line for each event, until it ends."""
    run(target, _watch(target, run_id, after_seq))


async def _watch(target: Target, run_id: str, after_seq: int | None) -> None:
    async with target.connect() as client:
        depths = BlockDepths(await _blocks(client, run_id))
        async for event in watch_run(client, run_id, after_seq):
            click.echo(event_line(event, depths))


async def _blocks(client: Client, run_id: str) -> list[dict[str, object]]:
    record = await client.records.GetTaskRecord(GetTaskRecordRequest(id=run_id))
    definition = await client.definitions.GetTaskDef(
        GetTaskDefRequest(id=record.task_def_id, version=record.task_def_version)
    )
    blocks: list[dict[str, object]] = MessageToDict(definition.config).get("blocks", [])
    return blocks
