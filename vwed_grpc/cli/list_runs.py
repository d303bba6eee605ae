"""`vwed-grpc list`: runs, the newest first."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from re import fullmatch
from typing import Any

import click
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter, TaskRecordStatus

from vwed.client import pages
from vwed_grpc.cli.list_lines import list_lines
from vwed_grpc.cli.output import output_option, print_json
from vwed_grpc.cli.screen import columns, print_lines
from vwed_grpc.cli.target import Command, Target, run, target_options
from vwed_grpc.views.reading import PAGE
from vwed_grpc.views.words import status_name, status_of, time_given

_STATUSES = [status_name(status) for status in TaskRecordStatus.values()[1:]]
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class _Since(click.ParamType[datetime]):
    name = "time"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if ago := fullmatch(r"(\d{1,9})([smhd])", value):
            return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        try:
            return time_given(value)
        except ValueError:
            self.fail(f"{value!r} is neither like 90s, 15m, 2h, 7d nor like 2026-11-29", param, ctx)


class _Label(click.ParamType[tuple[str, str]]):
    name = "key=value"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        key, equals, label = value.partition("=")
        if not equals:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, label


def _many(
    name: str, *, field: str, text: str, kind: click.ParamType[Any] = click.STRING
) -> Callable[[Command], Command]:
    return click.option(name, field, multiple=True, help=text, type=kind)


@click.command("list")
@_many(
    "--status",
    field="statuses",
    kind=click.Choice(_STATUSES, case_sensitive=False),
    text="Only these; may be given several times, as may all below.",
)
@_many("--def", field="task_def_names", text="Of definitions with this name.")
@_many("--robot", field="robot_ids", text="Done by this robot.")
@_many("--executor", field="executor_ids", text="Held last by this executor.")
@_many("--external-id", field="external_ids", text="The order's id in the WMS or MES.")
@_many("--label", field="labels", kind=_Label(), text="With this label, as KEY=VALUE.")
@click.option("--since", type=_Since(), help="Made since: 90s, 15m, 2h, 7d ago, or a date.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@output_option
@target_options
def list_runs(
    since: datetime | None,
    statuses: Sequence[str],
    labels: Sequence[tuple[str, str]],
    limit: int,
    output: str,
    target: Target,
    **texts: Sequence[str],
) -> None:
    """List runs, the newest first."""
    wanted = TaskRecordFilter(
        statuses=[status_of(name) for name in statuses],
        labels=dict(labels),
        **{field: list(values) for field, values in texts.items()},  # type: ignore[arg-type]  # each is a list of texts
    )
    if since is not None:
        getattr(wanted.create_time, "from").FromDatetime(since)
    run(target, _list(target, wanted, limit, as_json=output == "json"))


async def _list(target: Target, wanted: TaskRecordFilter, limit: int, *, as_json: bool) -> None:
    request = ListTaskRecordsRequest(filter=wanted, page_size=min(limit, PAGE))
    found: list[TaskRecord] = []
    async with target.connect() as client:
        async for record in pages(client.records.ListTaskRecords, request):
            found.append(record)
            if len(found) == limit:
                break
    if as_json:
        print_json(found)
    elif found:
        print_lines(list_lines(found, datetime.now(UTC), width=columns()))
    else:
        click.echo(f"no such runs of the tenant {target.tenant}", err=True)
