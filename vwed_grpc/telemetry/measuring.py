"""What a server shows of itself, wired: on a page of its own, or for that of a worker's parent."""

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from vwed_grpc.background import keep_going
from vwed_grpc.pages import MakePage
from vwed_grpc.settings import Settings
from vwed_grpc.telemetry import multiprocess
from vwed_grpc.telemetry.disk import show_disk
from vwed_grpc.telemetry.figures import Shown, show
from vwed_grpc.telemetry.page import page_of
from vwed_grpc.telemetry.sampler import Sampler


def registry_of(settings: Settings) -> CollectorRegistry:
    """Where a server's metrics are to be made: a worker's are in files that its parent reads."""
    if settings.metrics_dir is not None and settings.worker is not None:
        multiprocess.write_to(settings.metrics_dir, settings.worker)
    return CollectorRegistry()


def measure(
    stack: AsyncExitStack, settings: Settings, registry: CollectorRegistry, of: Shown
) -> MakePage:
    """Measures while the stack is open; answers the page of what is."""
    sampler = Sampler(registry)
    show(sampler, of)
    for background in (of.lag.run, of.waiting.run):
        keep_going(stack, background)
    if settings.metrics_dir:
        keep_going(stack, sampler.run)
    if settings.metrics_listen and settings.database_url is None:
        show_disk(registry, settings.data_dir)
    return page_of(registry, sampler.sample)
