import shutil
from collections.abc import AsyncIterator
from tempfile import TemporaryFile
from typing import IO

import click
from rich.progress import Progress
from vwed.v1.task_def_service_pb2 import (
    ImportTaskDefsOptions,
    ImportTaskDefsRequest,
    ImportTaskDefsResponse,
)

from vwed_grpc.cli.site_file import read
from vwed_grpc.cli.target import Target, run, target_options
from vwed_grpc.cli.transfer_progress import transfer_progress

_CONFLICTS = {
    "skip": ImportTaskDefsOptions.CONFLICT_SKIP,
    "overwrite": ImportTaskDefsOptions.CONFLICT_OVERWRITE,
    "fail": ImportTaskDefsOptions.CONFLICT_FAIL,
}
_MAX_TOLD = 10
"""Bad lines; a file of another kind has nothing else."""


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--conflict",
    type=click.Choice(list(_CONFLICTS)),
    default="skip",
    show_default=True,
    help="For an id that exists: keep what is there, append the newest content as its next"
    " version, or stop.",
)
@click.option("--validate-only", is_flag=True, help="Make every check, write nothing.")
@click.option("--actor", default="", help="Who imports: kept as the versions' created_by.")
@target_options
def import_(
    file: IO[bytes], conflict: str, validate_only: bool, actor: str, target: Target
) -> None:
    """Bring in the templates and definitions that `vwed-grpc export` wrote to FILE ("-": stdin).

    Nothing is sent if a line is bad. An import that was interrupted left whole definitions only,
    and can be run again. Ends with 1 if anything was refused.
    """
    options = ImportTaskDefsOptions(conflict=_CONFLICTS[conflict], validate_only=validate_only)
    with TemporaryFile() as copy:
        if not file.seekable():  # it is read twice
            shutil.copyfileobj(file, copy)
            file = copy
        run(target, _import(target, actor, file, options))


async def _import(
    target: Target, actor: str, file: IO[bytes], options: ImportTaskDefsOptions
) -> None:
    total = file.seek(0, 2)
    with transfer_progress(total_known=True) as progress:
        _check(file, total, progress)
        lines: list[int] = []
        async with target.connect(actor) as client:
            answer = await client.definitions.ImportTaskDefs(
                _requests(file, total, options, lines, progress)
            )
    _tell(answer, lines)


def _check(file: IO[bytes], total: int, progress: Progress) -> None:
    """Raises click.ClickException after it has told all bad lines."""
    task = progress.add_task("checking", total=total, items=0)
    items = bad = 0
    file.seek(0)
    for line in read(file):
        items += 1
        progress.update(task, advance=line.bytes, items=items)
        if line.problem:
            bad += 1
            if bad <= _MAX_TOLD:
                click.echo(f"line {line.number} {line.problem}", err=True)
    if bad:
        said = f"{bad} of {items} lines are bad: nothing was sent"
        if bad == items:
            said += "; `vwed-grpc export` writes a line of JSON for each item"
        raise click.ClickException(said)
    progress.remove_task(task)


async def _requests(
    file: IO[bytes],
    total: int,
    options: ImportTaskDefsOptions,
    lines: list[int],
    progress: Progress,
) -> AsyncIterator[ImportTaskDefsRequest]:
    """The options, then the items; `lines` gets the line of each."""
    yield ImportTaskDefsRequest(options=options)
    task = progress.add_task("importing", total=total, items=0)
    file.seek(0)
    for line in read(file):
        if line.item is not None:
            lines.append(line.number)
            yield line.item
            progress.update(task, advance=line.bytes, items=len(lines))


def _tell(answer: ImportTaskDefsResponse, lines: list[int]) -> None:
    for error in answer.errors:
        version = f" version {error.version}" if error.version else ""
        named = f"{error.kind} {error.id!r}{version}"
        click.echo(
            f"line {lines[error.index]}: {named}: {error.message} ({error.reason})", err=True
        )
    click.echo(
        f"created {answer.created}, updated {answer.updated}, skipped {answer.skipped},"
        f" errors {len(answer.errors)}"
    )
    if answer.errors:
        raise SystemExit(1)
