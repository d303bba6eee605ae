"""Where a watch over many runs stands, as the opaque token that its caller keeps."""

from dataclasses import dataclass
from datetime import datetime

from vwed_grpc.domain import paging
from vwed_grpc.domain.errors import InvalidArgument, OutOfRange
from vwed_grpc.storage.feed import Position
from vwed_grpc.storage.incarnation import Incarnation

_KINDS = (str, int, int, datetime, int, str, int, int, datetime, str)


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A place in the tenant's log, and how far the snapshot before it had come."""

    position: Position
    said_at: datetime
    """When the token was given out, by the database's clock."""
    lsn: int | None = None
    """See `storage.feed.Horizon`."""
    in_snapshot: bool = False
    after: tuple[datetime, str] | None = None
    """create_time and id of the last run that the snapshot has told; None: of none yet."""

    def token(self, fingerprint: bytes, incarnation: Incarnation) -> str:
        create_time, run = self.after or (None, None)
        of_what = (incarnation.copy, incarnation.timeline, self.lsn)
        where = (self.said_at, *self.position, int(self.in_snapshot), create_time, run)
        return paging.encode(fingerprint, of_what + where)

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
        copy, timeline, lsn, said_at, xact, log_run, seq, in_snapshot, create_time, run = parts
        if copy != incarnation.copy:
            raise OutOfRange("RESUME_TOKEN_UNKNOWN", "the token is of another copy of the data")
        after: tuple[datetime, str] | None
        match said_at, xact, log_run, seq, create_time, run:
            case datetime(), int(), str(), int(), datetime(), str():
                after = create_time, run
            case datetime(), int(), str(), int(), None, None:
                after = None
            case _:
                raise InvalidArgument.of("resume_token", "is not a token of this watch")
        match timeline, lsn:
            case int(), int() | None:
                goes_on = incarnation.resumed(timeline, xact, None if in_snapshot else lsn)
            case _:
                raise InvalidArgument.of("resume_token", "is not a token of this watch")
        if goes_on is None:
            raise OutOfRange(
                "RESUME_TOKEN_UNKNOWN", "the store has failed over, and may have lost what was told"
            )
        position = Position(xact, log_run, seq) if goes_on == xact else Position(goes_on)
        return cls(position, said_at, lsn, bool(in_snapshot), after)
