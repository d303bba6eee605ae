"""Time as leases count it, and the service's time as its answers tell it."""

import sys
import time
from functools import partial

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_LONGEST_TRIP = 1.0
"""Seconds; what an answer that took longer says about the service's clock is vague."""

if sys.platform == "linux":
    # Goes on while the machine is suspended, as the lease does.
    now = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
else:
    now = time.monotonic


class ServiceClock:
    """The service's clock, to within the time that an answer takes.

    A robot's own clock may be wrong, and a report may wait for hours until the service is back:
    blocks bear the times that they had, on the clock that all others of the run are on.
    """

    def __init__(self) -> None:
        self.is_known = False
        self.clock_offset = 0.0
        """Seconds between this machine's `now` and UNIX time as the service has it."""

    def learn(self, sent: float, received: float, told: Timestamp) -> None:
        """`told`: the service's time at some moment between the two."""
        if not self.is_known or received - sent < _LONGEST_TRIP:
            self.is_known = True
            self.clock_offset = told.ToNanoseconds() / 1e9 - (sent + received) / 2


def timestamp(clock_offset: float) -> Timestamp:
    """This moment, as the service has it."""
    seconds, part = divmod(now() + clock_offset, 1.0)
    return Timestamp(seconds=int(seconds), nanos=int(part * 1e6) * 1000)


def duration(seconds: float) -> Duration:
    whole, part = divmod(seconds, 1.0)
    return Duration(seconds=int(whole), nanos=round(part * 1e9))
