"""What a server shows of itself, wired: on a page of its own, or for that of a worker's parent."""

from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from vwed_grpc.process.background import keep_going
from vwed_grpc.process.pages import MakePage
from vwed_grpc.settings import Settings
from vwed_grpc.telemetry import multiprocess
from vwed_grpc.telemetry.disk import show_disk
from vwed_grpc.telemetry.figures import Shown, show
from vwed_grpc.telemetry.lag import Lag
from vwed_grpc.telemetry.meters import Meters
from vwed_grpc.telemetry.page import page_of
from vwed_grpc.telemetry.sampler import Sampler
from vwed_grpc.telemetry.waiting_runs import WaitingRuns


def meters_of(settings: Settings) -> Meters:
    """The meters of a server; those of a worker are in files, which its parent reads."""
    if settings.metrics_dir is not None and settings.worker is not None:
        multiprocess.write_to(settings.metrics_dir, settings.worker)
    return Meters(CollectorRegistry())


def measure(stack: AsyncExitStack, settings: Settings, *, meters: Meters, of: Shown) -> MakePage:
    """Measures while the stack is open; answers the page of what is."""
    sampler = Sampler(meters.registry)
    waiting, lag = WaitingRuns(of.database.duties), Lag(meters.loop_lag)
    show(sampler, of, calls=meters.calls, waiting=waiting, lag=lag)
    for background in (waiting.run, lag.run):
        keep_going(stack, background)
    if settings.metrics_dir:
        keep_going(stack, sampler.run)
    if settings.metrics_listen and settings.database_url is None:
        show_disk(meters.registry, settings.data_dir)
    return page_of(meters.registry, sampler.sample)
