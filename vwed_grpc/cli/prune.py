"""`vwed-grpc prune`: deletes all runs that ended before a time."""

from collections.abc import Sequence
from datetime import datetime

import click
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.record_service_pb2 import PruneTaskRecordsRequest

from vwed_grpc.cli.target import Target, run, target_options
from vwed_grpc.domain.lifecycle import FINAL
from vwed_grpc.views.words import status_name, status_of, time_given

_STATUSES = sorted(map(status_name, FINAL))


class _Time(click.ParamType[datetime]):
    name = "time"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return time_given(value)
        except ValueError:
            self.fail(
                f"{value!r} is not a date or time like 2026-11-29 or 2026-11-29T08:00", param, ctx
            )


@click.command()
@click.option(
    "--before", type=_Time(), required=True, help="Runs that ended before it; UTC unless told."
)
@click.option(
    "--status",
    "statuses",
    type=click.Choice(_STATUSES, case_sensitive=False),
    multiple=True,
    help="Only those that ended so; may be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Count them, delete none.")
@target_options
def prune(before: datetime, statuses: Sequence[str], *, dry_run: bool, target: Target) -> None:
    """Delete runs that have ended, with their blocks, events and data caches.

    Pinned runs stay, and so do those that an open run hangs on.
    """
    request = PruneTaskRecordsRequest(
        ended_before=Timestamp(),
        statuses=[status_of(name) for name in statuses],
        dry_run=dry_run,
    )
    request.ended_before.FromDatetime(before)
    run(target, _prune(target, request))


async def _prune(target: Target, request: PruneTaskRecordsRequest) -> None:
    async with target.connect() as client:
        pruned = 0
        while True:
            answer = await client.records.PruneTaskRecords(request)
            pruned += answer.pruned
            if request.dry_run:
                more = " or more" if answer.more else ""
                click.echo(f"{pruned:,}{more} runs would be deleted")
                return
            if not answer.more:
                click.echo(f"{pruned:,} runs deleted")
                return
