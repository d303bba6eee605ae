"""The room that is left where embedded servers keep their data."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class _Disk(Collector):
    """Read when the page is, by the process that embeds PostgreSQL."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[GaugeMetricFamily]:
        usage = shutil.disk_usage(self._directory)
        for name, value, what in (
            ("free", usage.free, "Bytes that are free"),
            ("size", usage.total, "Bytes that there are"),
        ):
            yield GaugeMetricFamily(
                f"vwed_disk_{name}_bytes", f"{what} where the embedded servers keep data.", value
            )


def show_disk(registry: CollectorRegistry, directory: Path) -> None:
    registry.register(_Disk(directory))
