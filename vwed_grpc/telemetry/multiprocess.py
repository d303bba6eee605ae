"""The metrics of several workers on one page: each writes files, their parent adds them up.

A worker's files bear its number, not its process id: the one that is started in its place counts on
from where it ended, and there are never more files than workers.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, Metric, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead


def write_to(directory: Path, worker: int) -> None:
    """From here on the metrics that this process makes are kept in files of the directory."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)  # the library reads it there
    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]  # it has no types


class _Workers(MultiProcessCollector):
    """Leaves out the files that a worker is just making, which are empty for a moment."""

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in Path(self._path).glob("*.db") if _size(file)]
        metrics: Iterable[Metric] = self.merge(files, accumulate=True)  # type: ignore[no-untyped-call]  # it has no types
        return metrics


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # its worker has died meanwhile
        return 0


@contextmanager
def gathered(registry: CollectorRegistry) -> Iterator[Path]:
    """Adds what the workers write in the directory to the registry, while entered."""
    with TemporaryDirectory(prefix="vwed-metrics-") as name:
        _Workers(registry, name)  # type: ignore[no-untyped-call]  # it has no types
        yield Path(name)


def forget(directory: Path, worker: int) -> None:
    """What is true of living workers alone is no more true of this one."""
    mark_process_dead(worker, str(directory))  # type: ignore[no-untyped-call]  # it has no types
