"""Where a watch over many runs stands, as the opaque token that its caller keeps."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from vwed_grpc.domain import paging
from vwed_grpc.domain.errors import InvalidArgument, OutOfRange
from vwed_grpc.storage.feed import Moment, Snapshot
from vwed_grpc.storage.incarnation import Incarnation

_KINDS = (str, int, int, datetime, int, str, int, str, str, int, int, datetime, str)
_MOST_RUNNING = 64
"""Transactions that a token names. With more it stands before some that have ended: what these
wrote is told once more."""


class Place(NamedTuple):
    """How much of a tenant's log was told: all that one snapshot sees.

    And, if `upto` is set, of what that one sees besides all up to `seq` of `run`, by order of runs.
    """

    since: Snapshot
    upto: Snapshot | None = None
    run: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A place in the tenant's log, and how far the snapshot before it had come."""

    place: Place
    said_at: datetime
    """When the token was given out, by the database's clock."""
    lsn: int | None = None
    """Of the moment whose snapshot sees all that `place` says was told: see `storage.feed`."""
    in_snapshot: bool = False
    after: tuple[datetime, str] | None = None
    """create_time and id of the last run that the snapshot has told; None: of none yet."""

    @classmethod
    def at(cls, place: Place, moment: Moment, *, in_snapshot: bool = False) -> "ResumePoint":
        """A place of which a moment's snapshot sees all."""
        return cls(place, moment.time, moment.lsn, in_snapshot)

    def token(self, fingerprint: bytes, incarnation: Incarnation) -> str:
        create_time, run = self.after or (None, None)
        place = self.place
        where = (
            *(incarnation.copy, incarnation.timeline, self.lsn, self.said_at),
            *_numbers(place.since),
            *(_numbers(place.upto) if place.upto else (0, "")),
            *(place.run, place.seq, int(self.in_snapshot), create_time, run),
        )
        return paging.encode(fingerprint, where)

    @classmethod
    def of(cls, token: str, fingerprint: bytes, incarnation: Incarnation) -> "ResumePoint":
        """Raises InvalidArgument for what is no token of this watch.

        OutOfRange for one of another copy of the data, after a restore say: numbers of its
        transactions mean nothing here; and after a failover, unless all that was told is here too.
        """
        try:
            parts = paging.decode(token, fingerprint, _KINDS)
        except InvalidArgument:
            raise InvalidArgument.of(
                "resume_token", "is not a token of this watch with these arguments"
            ) from None
        copy, timeline, lsn, said_at, since, running, upto, upto_running, *row = parts
        if copy != incarnation.copy:
            raise OutOfRange("RESUME_TOKEN_UNKNOWN", "the token is of another copy of the data")
        try:
            place = Place(
                _snapshot(since, running), _snapshot(upto, upto_running) if upto else None
            )
        except ValueError:
            raise InvalidArgument.of("resume_token", "is not a token of this watch") from None
        after: tuple[datetime, str] | None
        match said_at, row:
            case datetime(), [str(log_run), int(seq), int(in_snapshot), datetime() as at, str(run)]:
                after = at, run
            case datetime(), [str(log_run), int(seq), int(in_snapshot), None, None]:
                after = None
            case _:
                raise InvalidArgument.of("resume_token", "is not a token of this watch")
        match timeline, lsn:
            case int(), int() | None:
                place = _moved(
                    place._replace(run=log_run, seq=seq),
                    incarnation,
                    timeline,
                    None if in_snapshot else lsn,
                )
            case _:
                raise InvalidArgument.of("resume_token", "is not a token of this watch")
        return cls(place, said_at, lsn, bool(in_snapshot), after)


def _moved(place: Place, incarnation: Incarnation, timeline: int, lsn: int | None) -> Place:
    """Where a watch that stood there on a timeline goes on in the present one.

    What it was told beyond that it is told once more, if it still is. So the log up to `lsn` has to
    be in the present one, which is all that the place sees. Raises OutOfRange if it may not be.
    """
    goes_on = incarnation.resumed(timeline, place.since.xmin, lsn)
    if goes_on is None:
        raise OutOfRange(
            "RESUME_TOKEN_UNKNOWN", "the store has failed over, and may have lost what was told"
        )
    return place if timeline == incarnation.timeline else Place(Snapshot(goes_on))


def _numbers(snapshot: Snapshot) -> tuple[int, str]:
    running = snapshot.running
    xmax = running[_MOST_RUNNING] if len(running) > _MOST_RUNNING else snapshot.xmax
    return xmax, " ".join(map(str, running[:_MOST_RUNNING]))


def _snapshot(xmax: object, running: object) -> Snapshot:
    """Raises ValueError if it is none."""
    if not isinstance(xmax, int) or not isinstance(running, str):
        raise ValueError(xmax)  # noqa: TRY004 - to its caller it is the same
    numbers = tuple(map(int, running.split(" "))) if running else ()
    if list(numbers) != sorted(set(numbers)) or not all(0 < n < xmax for n in numbers):
        raise ValueError(running)
    return Snapshot(xmax, numbers)
