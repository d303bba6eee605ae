"""What the cache counts, for whoever shows it."""

from dataclasses import dataclass


@dataclass(slots=True)
class CacheCounters:
    """Since the start of this process, but for `undelivered`, which is now."""

    hits: int = 0
    """Reads answered by Redis, remembered absences among them."""
    misses: int = 0
    """Loads under a lease: their answers may be stored."""
    bypasses: int = 0
    """Loads without a lease: Redis away or not yet trusted, or another reader holds the lease."""
    joined: int = 0
    """Reads answered by another reader's load."""
    strong: int = 0
    """Reads that asked for the database itself."""
    fills: int = 0
    """Loaded answers that were stored."""
    refused_fills: int = 0
    """Loaded answers whose lease was gone: written meanwhile, too late, or flushed."""
    opened: int = 0
    """How often the breaker opened."""
    undelivered: int = 0
    """Invalidations kept for a Redis that is away."""
