"""Which class of calls each RPC belongs to (contract, section 7): by its form, with exceptions."""

from dataclasses import dataclass
from enum import Enum

from google.protobuf.descriptor import MethodDescriptor


class CallClass(Enum):
    """Whose places a call works in."""

    LIVE = "live"
    """What robots wait for: reports, heartbeats, transitions, reads by key, cache entries."""
    URGENT = "urgent"
    """Of these, what a run is lost without: it has a reserve before the places of all."""
    BULK = "bulk"
    """Lists, batch gets, and what people do with definitions."""
    FIGURES = "figures"
    """What reads much to say little; a list goes on here to count its total."""
    PROBE = "probe"
    """Health checks: they are answered when all else is at its limits, and while the server
    drains."""

    @property
    def can_wait(self) -> bool:
        """Whether its work leaves the event loop to that of the others."""
        return self in {CallClass.BULK, CallClass.FIGURES}


@dataclass(frozen=True, slots=True)
class Rule:
    """How an RPC is admitted."""

    call_class: CallClass
    lasts: bool
    """It is counted among the waits, and takes a place of its class for each piece of work."""
    streams_in: bool
    """It has a limit of its own, as each may hold a request that is not whole."""
    grows: bool
    """It may need more of the disk: it writes, and not only to delete."""


_BY_PREFIX = {
    "List": CallClass.BULK,
    "BatchGet": CallClass.BULK,
    "Summarize": CallClass.FIGURES,
    "Prune": CallClass.FIGURES,
}
_OF_SERVICE = {"TaskDefService": CallClass.BULK}
"""Instead of live: people write definitions, robots read them."""
_STANDARD = {
    "Health": CallClass.PROBE,
    "ServerReflection": CallClass.BULK,
    "Channelz": CallClass.BULK,
}
"""Services that are not ours, with all their RPCs."""
_EXCEPTIONS = {
    "GetTaskDef": CallClass.LIVE,
    "GetTaskTemplate": CallClass.LIVE,
    "BatchGetDataCache": CallClass.LIVE,  # the entries of one run, by key
    "HeartbeatTaskRecord": CallClass.URGENT,
    "ReportBlock": CallClass.URGENT,
    "ReportBlocks": CallClass.URGENT,
    "StreamBlockReports": CallClass.URGENT,
    "FinishTaskRecord": CallClass.URGENT,
}


_NO_GROWTH = (
    *("Get", "BatchGet", "List", "Watch", "Summarize", "Diff", "Export"),
    *("Delete", "Clear", "Prune"),
    "Heartbeat",  # it writes over what it wrote before, and its run would be lost without it
)


def may_wait(method: MethodDescriptor) -> bool:
    """Whether a call may be open for as long as its caller likes: a stream, or a wait."""
    lasts: bool = method.client_streaming or method.server_streaming
    return lasts or "wait" in method.input_type.fields_by_name


def rule_of(method: MethodDescriptor) -> Rule:
    """The rule of one RPC."""
    service = method.containing_service.name
    call_class = _STANDARD.get(service) or _EXCEPTIONS.get(method.name)
    if call_class is None:
        found = (each for prefix, each in _BY_PREFIX.items() if method.name.startswith(prefix))
        default = _OF_SERVICE.get(service, CallClass.LIVE)
        call_class = next(found, default)
    return Rule(
        call_class,
        lasts=method.client_streaming or method.server_streaming,
        streams_in=method.client_streaming,
        grows=service not in _STANDARD and not method.name.startswith(_NO_GROWTH),
    )
