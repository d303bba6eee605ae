"""`vwed-grpc timeline`: when the blocks of a run were at work, as a picture or for Perfetto."""

from datetime import UTC, datetime
from pathlib import Path

import click

from vwed_grpc.cli.target import Target, run, target_options
from vwed_grpc.views.html import html
from vwed_grpc.views.reading import read_view
from vwed_grpc.views.run_view import RunView
from vwed_grpc.views.svg import svg
from vwed_grpc.views.timeline import timeline as timeline_of
from vwed_grpc.views.trace import trace
from vwed_grpc.views.words import run_name, run_status

_WRITERS = {"svg": svg, "html": html, "trace": trace}
_MOST = {"svg": 200, "html": 2_000, "trace": 2_000}
"""Lines, beyond which loops are folded."""


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "--format",
    "form",
    type=click.Choice([*_WRITERS]),
    default="svg",
    show_default=True,
    help="A picture; a page whose time can be stretched; a trace for ui.perfetto.dev.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="A file; else standard output."
)
@target_options
def timeline(run_id: str, form: str, out: Path | None, target: Target) -> None:
    """Draw when the blocks of a run were at work."""
    view = run(target, _read(target, run_id))
    shown = timeline_of(view, datetime.now(UTC), most=_MOST[form])
    content = _WRITERS[form](shown, f"{run_name(view.run)}: {run_status(view.run)}")
    if out is None:
        click.echo(content, nl=False)
        return
    try:
        out.write_text(content, encoding="utf-8")
    except OSError as exc:
        raise click.ClickException(f"{out} cannot be written: {exc.strerror}") from exc


async def _read(target: Target, run_id: str) -> RunView:
    async with target.connect() as client:
        return await read_view(client, run_id)
