"""How far an export or import has come, on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

_COUNT = TextColumn("{task.fields[items]:,} items")


@contextmanager
def transfer_progress(*, total_known: bool) -> Iterator[Progress]:
    """On stderr, since stdout may be the export itself; nothing if that is no terminal."""
    measure = (BarColumn(), DownloadColumn()) if total_known else (SpinnerColumn(),)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), *measure, _COUNT)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield progress
