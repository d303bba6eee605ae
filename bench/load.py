"""Callers on a few connections: each makes its next call when the last one is answered."""

import select
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.frames import Connection

DRAIN_SECONDS = 10.0
_IN_TURN_SECONDS = 120.0


def pump(
    connections: Sequence[Connection],
    until: Callable[[], bool],
    seconds: float,
    *,
    turn: float = 0.05,
) -> bool:
    """Sends and receives until `until` says so; False if `seconds` went by before.

    `until` is asked every `turn` seconds, and whenever something came.
    """
    by_file = {connection.socket.fileno(): connection for connection in connections}
    poll = select.poll()
    for file in by_file:
        poll.register(file, select.POLLIN)
    deadline = time.perf_counter() + seconds
    while not until():
        for connection in connections:
            connection.flush()
        left = deadline - time.perf_counter()
        if left <= 0:
            return False
        for file, _ in poll.poll(min(left, turn) * 1000):
            by_file[file].receive()
    return True


@dataclass(slots=True)
class Tally:
    calls: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Seconds; 0 if nothing was measured."""
        ordered = sorted(self.latencies)
        return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0


class Caller:
    """Calls again and again while there are bodies."""

    __slots__ = ("_began", "_bodies", "_connection", "_good", "_path", "_tally", "busy")

    def __init__(
        self, connection: Connection, path: str, bodies: Iterator[bytes], tally: Tally
    ) -> None:
        self._connection = connection
        self._path = path
        self._bodies = bodies
        self._tally = tally
        self._began = 0.0
        self._good = False
        self.busy = False

    def next(self) -> None:
        body = next(self._bodies, None)
        self.busy = body is not None
        if body is not None:
            self._good = False
            self._began = time.perf_counter()
            self._connection.open(self._path, self, body)

    def message(self, body: bytes) -> None:  # noqa: ARG002 - that there is one is what counts
        self._good = True

    def end(self) -> None:
        tally = self._tally
        tally.calls += 1
        tally.failed += not self._good
        tally.latencies.append(self._connection.received_at - self._began)
        self.next()


def in_turn(
    wire: Connection, path: str, bodies: Iterable[bytes], beside: Sequence[Connection] = ()
) -> Tally:
    """Calls one after the other, while others are received from. Raises TimeoutError."""
    tally = Tally()
    caller = Caller(wire, path, iter(bodies), tally)
    caller.next()
    if not pump([wire, *beside], lambda: not caller.busy, _IN_TURN_SECONDS):
        raise TimeoutError(f"{path}: {tally.calls} calls in {_IN_TURN_SECONDS:.0f} s")
    return tally


def closed_loop(
    target: str,
    path: str,
    bodies: Iterator[bytes],
    *,
    callers: int,
    connections: int,
    seconds: float,
    metadata: Mapping[str, str] | None = None,
) -> tuple[Tally, float]:
    """Calls for `seconds`; answers what came of it, and how long it took until all were answered.

    Raises RuntimeError if calls hang.
    """
    wires = [Connection(target, metadata) for _ in range(connections)]
    stop = time.perf_counter() + seconds

    def timely() -> Iterator[bytes]:
        for body in bodies:
            yield body
            if time.perf_counter() >= stop:
                return

    source = timely()
    tally = Tally()
    crowd = [Caller(wires[n % connections], path, source, tally) for n in range(callers)]
    began = time.perf_counter()
    for caller in crowd:
        caller.next()
    done = pump(wires, lambda: not any(c.busy for c in crowd), seconds + DRAIN_SECONDS)
    took = time.perf_counter() - began
    for wire in wires:
        wire.close()
    if not done:
        raise RuntimeError(f"{path}: calls were not answered within {DRAIN_SECONDS:.0f} s")
    return tally, took
