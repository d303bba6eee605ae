"""What the cache counts, for whoever shows it."""

from dataclasses import dataclass, field


def _counted(what: str) -> int:
    counter: int = field(default=0, metadata={"help": what})
    return counter


@dataclass(slots=True)
class CacheCounters:
    """Since the start of this process, but for `undelivered`, which is now.

    The `help` in a field's metadata is for operators: it stands on the page of metrics.
    """

    hits: int = _counted("Reads answered by Redis, remembered absences among them.")
    misses: int = _counted("Loads under a lease: their answers may be stored.")
    bypasses: int = _counted(
        "Loads without a lease: Redis away or not yet trusted, or another reader holds the lease."
    )
    joined: int = _counted("Reads answered by another reader's load.")
    strong: int = _counted("Reads that asked for the database itself.")
    fills: int = _counted("Loaded answers that were stored.")
    refused_fills: int = _counted(
        "Loaded answers whose lease was gone: written meanwhile, too late, or flushed."
    )
    foreign: int = _counted(
        "Values that this service had not written under their keys, or in this form: not served."
    )
    opened: int = _counted("How often Redis was given up.")
    undelivered: int = _counted("Invalidations kept for a Redis that is away.")
