"""`vwed-grpc cancel`, `pause`, `resume`, `retry`: what operators do to runs."""

import getpass
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
    RetryTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from vwed.client import CallError, Client
from vwed_grpc.cli.output import output_option, print_json
from vwed_grpc.cli.target import CallFailed, Target, run, target_options
from vwed_grpc.views.words import run_status

Act = Callable[[Client, str], Awaitable[TaskRecord]]


def _verb(*options: Any) -> Callable[[Callable[..., Act]], click.Command]:
    """A command that does one thing to each of several runs; its function answers that thing."""

    def command(work: Callable[..., Act]) -> click.Command:
        def act_on(
            runs: Sequence[str],
            *,
            reason: str | None,
            actor: str,
            output: str,
            target: Target,
            **given: Any,
        ) -> None:
            if reason is None:
                reason = click.prompt("reason", default="") if sys.stdin.isatty() else ""
            act = work(reason=reason, **given)
            run(target, _act_on_all(target, actor, runs, act, as_json=output == "json"))

        act_on.__doc__ = work.__doc__
        found: Any = target_options(act_on)
        found = output_option(found)
        found = click.option(
            "--actor", default=getpass.getuser, show_default="the user", help="Who does it."
        )(found)
        found = click.option("--reason", help="Why; kept with the run. Asked for on a terminal.")(
            found
        )
        for option in reversed(options):
            found = option(found)
        found = click.argument("runs", metavar="RUN...", nargs=-1, required=True)(found)
        named: click.Command = click.command(work.__name__)(found)
        return named

    return command


async def _act_on_all(
    target: Target, actor: str, runs: Sequence[str], act: Act, *, as_json: bool
) -> None:
    """All of them, also after a refusal; ends with the first refusal's exit code."""
    done: list[TaskRecord] = []
    refusals: list[CallFailed] = []
    async with target.connect(actor) as client:
        for run_id in runs:
            try:
                record = await act(client, run_id)
            except CallError as exc:
                refusals.append(CallFailed(target, exc))
                click.echo(f"{run_id}: {refusals[-1].message}", err=True)
            else:
                done.append(record)
                if not as_json:
                    click.echo(f"{record.id} {run_status(record)}")
    if as_json:
        print_json(done)
    if refusals:
        raise SystemExit(refusals[0].exit_code)


@_verb(
    click.option("--force", is_flag=True, help="End it at once, without waiting for its executor."),
    click.option("--cascade", is_flag=True, help="And all open runs below it."),
)
def cancel(*, reason: str, force: bool, cascade: bool) -> Act:
    """Ask the executors of runs to give up."""
    return lambda client, run_id: client.records.CancelTaskRecord(
        CancelTaskRecordRequest(id=run_id, reason=reason, force=force, cascade=cascade)
    )


@_verb()
def pause(*, reason: str) -> Act:
    """Ask the executors of runs to stand still."""
    return lambda client, run_id: client.records.PauseTaskRecord(
        PauseTaskRecordRequest(id=run_id, reason=reason)
    )


@_verb()
def resume(*, reason: str) -> Act:
    """Let paused runs go on."""
    return lambda client, run_id: client.records.ResumeTaskRecord(
        ResumeTaskRecordRequest(id=run_id, reason=reason)
    )


@_verb(
    click.option("--from-failure", is_flag=True, help="Keep the blocks that have succeeded."),
)
def retry(*, reason: str, from_failure: bool) -> Act:
    """Make new runs of those that failed or were canceled."""
    mode = (
        RetryTaskRecordRequest.MODE_FROM_FAILURE
        if from_failure
        else RetryTaskRecordRequest.MODE_FROM_START
    )
    return lambda client, run_id: client.records.RetryTaskRecord(
        RetryTaskRecordRequest(id=run_id, reason=reason, mode=mode)
    )
