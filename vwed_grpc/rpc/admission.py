"""The limits of a process, and on what terms the calls of each RPC are admitted."""

from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor

from vwed_grpc.limits import Limits
from vwed_grpc.rpc.call_classes import CallClass, rule_of
from vwed_grpc.rpc.places import Places
from vwed_grpc.rpc.reading import Reading
from vwed_grpc.rpc.waits import Waits

_PROBES_QUEUE = 64


@dataclass(slots=True)
class Disk:
    """What the store may grow on."""

    is_full: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call of one RPC needs."""

    call_class: CallClass
    places: tuple[Places, ...]
    """The first of them that has a free one gives it; if none has, the first of all is waited
    for."""
    figures: Places
    """For a call that comes to count."""
    reading: Reading
    large: Places
    """Of bytes of large requests at work."""
    waits: Waits
    """For calls that only wait."""
    lasting: Waits | None
    """Where the RPC's calls are counted, if they last."""
    streams_in: bool
    disk: Disk | None
    """Of which the RPC's calls may need more."""


class Admission:
    """All that calls share."""

    def __init__(self, limits: Limits) -> None:
        live = Places(
            limits.live_calls,
            "TOO_MANY_LIVE_CALLS",
            "live calls at work",
            queue=limits.live_queue,
            patience=limits.live_queue_seconds,
        )
        urgent = Places(
            limits.urgent_calls,
            "TOO_MANY_URGENT_CALLS",
            "heartbeats, reports and finishes at work",
            queue=limits.live_queue,
            patience=limits.live_queue_seconds,
        )
        bulk = Places(
            limits.bulk_calls,
            "TOO_MANY_BULK_CALLS",
            "bulk calls at work",
            queue=limits.bulk_queue,
            patience=limits.bulk_queue_seconds,
        )
        figures = Places(
            limits.figures_calls,
            "TOO_MANY_FIGURES_CALLS",
            "figures calls at work",
            queue=limits.figures_queue,
            patience=limits.figures_queue_seconds,
        )
        probe = Places(
            limits.probe_calls,
            "TOO_MANY_PROBES",
            "health checks at work",
            queue=_PROBES_QUEUE,
            patience=limits.live_queue_seconds,
        )
        self.places = {
            CallClass.LIVE: (live,),
            CallClass.URGENT: (urgent, live),  # a flood of reports leaves reads their places
            CallClass.BULK: (bulk,),
            CallClass.FIGURES: (figures,),
            CallClass.PROBE: (probe,),
        }
        reading = _reading(limits, limits.uploads, limits.slow_uploads)
        self._reading = {
            CallClass.LIVE: reading,
            CallClass.URGENT: _reading(limits, limits.urgent_uploads, limits.urgent_uploads),
            CallClass.BULK: reading,
            CallClass.FIGURES: reading,
            CallClass.PROBE: _reading(limits, limits.probe_calls, limits.probe_calls),
        }
        self._large = Places(
            limits.large_request_bytes, "TOO_MANY_REQUEST_BYTES", "bytes of large requests at work"
        )
        self.waits = Waits(
            limits.waits, limits.waits_of_connection, "TOO_MANY_WAITS", "calls that wait"
        )
        self.incoming_streams = Waits(
            limits.incoming_streams,
            limits.incoming_streams_of_connection,
            "TOO_MANY_INCOMING_STREAMS",
            "streams of requests",
        )
        self.disk = Disk()

    def robots_wait(self) -> bool:
        """Whether a call is at work that something in the plant may wait for."""
        return any(places.is_used for places in self.places[CallClass.URGENT])

    def terms(self, method: MethodDescriptor) -> Terms:
        rule = rule_of(method)
        lasting = self.incoming_streams if rule.streams_in else self.waits
        return Terms(
            call_class=rule.call_class,
            places=self.places[rule.call_class],
            figures=self.places[CallClass.FIGURES][0],
            reading=self._reading[rule.call_class],
            large=self._large,
            waits=self.waits,
            lasting=lasting if rule.lasts else None,
            streams_in=rule.streams_in,
            disk=self.disk if rule.grows else None,
        )


def _reading(limits: Limits, fast: int, slow: int) -> Reading:
    return Reading(
        fast,
        slow,
        seconds=limits.upload_seconds,
        queue=limits.live_queue,
        patience=limits.live_queue_seconds,
    )
