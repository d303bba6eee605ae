"""The names under which anything of ours stands in Redis."""

GENERATION = 1
"""Of the stored bytes: raised when their meaning changes, so that no release reads another's."""

DEFINITION_TTL = 60.0
RUN_TTL = 5.0
"""Seconds that answers stay, of runs and of their data caches; two more for the lease give the
contract's bounds of 62 and 7."""

PROBE = "vwed:probe"
"""Begins the names of keys that never hold anything; to delete one shows that its server takes
writes."""


def escape(part: str) -> str:
    """A part of a key: without colons and braces."""
    part = part.replace("%", "%25").replace(":", "%3A")
    return part.replace("{", "%7B").replace("}", "%7D")


class KeySpace:
    """Keys of one generation of bytes and one incarnation of the database.

    A restored database has another incarnation, so what was stored before the restore is out of
    reach and dies by its time to live.
    """

    def __init__(self, generation: int, incarnation: str) -> None:
        self._generation = generation
        self.move_to(incarnation)

    def move_to(self, incarnation: str) -> None:
        """All keys from now on are of this incarnation."""
        self._prefix = f"vwed:{self._generation}:{{{escape(incarnation)}:"

    def key(self, kind: str, tenant: str, *parts: str) -> str:
        """The key of one resource; different arguments never give the same key.

        A tenant's keys and channels have one hash tag, so they are on one server of a cluster, and
        one command may take several.
        """
        return f"{self._prefix}{escape(tenant)}}}:{':'.join(map(escape, (kind, *parts)))}"
