"""Why code stops before its end, and what it raises to say that a block has failed."""

from enum import Enum


class StopReason(Enum):
    """Why the code of a run was stopped; the value is for people."""

    CANCELED = "the run was canceled"
    RELEASED = "the executor stops, and hands the run back"
    REPORT_REFUSED = "the service refused a report"
    LEASE_LOST = "another executor has the run"
    ENDED = "somebody else ended the run"
    DELETED = "the run was deleted"


class BlockFailed(Exception):
    """A block came to nothing, for a reason that the code knows.

    `code`: short, stable, UPPER_SNAKE, at most 64 characters; it becomes the run's `error_code`
    unless the code tries again. `message`: for people.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class RunStopped(BaseException):
    """Raised in a thread's code by its next call of the run, when the run is to stop.

    As asyncio.CancelledError, which it stands for, it is no Exception: code that goes on after any
    error does not go on after this one.
    """

    def __init__(self, reason: StopReason | None) -> None:
        super().__init__(reason.value if reason else "")
        self.reason = reason


class RunOver(Exception):
    """The run is nobody's to write to any more, or somebody else's; nothing of it is to be said."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason
