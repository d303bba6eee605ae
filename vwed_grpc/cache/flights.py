"""One load for many readers, where the load is certain to be fresh enough for each of them."""

import asyncio
from dataclasses import dataclass, field
from math import inf


def _answer() -> asyncio.Future[bytes | None]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class Flight:
    """A load under way, or about to be.

    `began` counts the loads of this process: it is 0 until this one reads the database. `lease` is
    the lease, ours or another process's, that Redis had said to stand under the key before the load
    began; empty if it had not. `good_until`, in the loop's time, is when the answer may cease to be
    true without any write.
    """

    began: int = 0
    lease: bytes = b""
    good_until: float = inf
    answer: asyncio.Future[bytes | None] = field(default_factory=_answer)

    def serves(self, arrived: int, held: bytes | None) -> bool:
        """Whether a reader may take this load's answer.

        The reader came when `arrived` loads had begun, and then saw `held` in Redis, if it asked.
        It must see every write that was acknowledged before it came. It does, if

        1. the load began after it came: the database itself shows it those writes; or
        2. the lease under which the load began still stood when it looked. A write is acknowledged
           only when its deletion has been carried out, and a deletion takes the lease away for
           ever, since no token is sent twice. So no deletion came between the two sightings of the
           lease; those of the acknowledged writes came before, hence their commits before the load.
           An answer that ends by itself is the exception: see `outlived`.

        A deletion that Redis did not get does not break the second rule within this process: until
        it is replayed, Redis is not believed, so nobody looks. Another process may then be served
        what is stale, for as long as the contract allows it.
        """
        return self.began == 0 or self.began > arrived or bool(self.lease and self.lease == held)

    def outlived(self, arrived: int, now: float) -> bool:
        """Whether the answer may have ended before this reader came, as the load began before.

        A load may take long after the database has answered: this process may have been frozen.
        """
        return self.began <= arrived and now >= self.good_until
