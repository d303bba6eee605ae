"""Every error that a caller can be told, by its gRPC code; `rpc.errors` puts them on the wire."""

import copyreg
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """One bad field: its path in the request (`task_def.config.blocks[2].id`) and what is wrong."""

    field: str
    description: str


class VwedError(Exception):
    """What a caller is told: `reason` is stable and UPPER_SNAKE, `message` is for people."""

    code: ClassVar[str]
    """Name of the gRPC status code; `rpc.errors` alone knows gRPC."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after
        """Seconds after which a retry may help; becomes `RetryInfo`."""

    def __reduce__(self) -> tuple[Any, ...]:
        # As it is: what it was made of is not in `args`, and may come from another process.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]  # private, but all that pickle has


class InvalidArgument(VwedError):
    """The request itself is wrong, whatever the state of the system."""

    code = "INVALID_ARGUMENT"

    def __init__(self, *violations: Violation) -> None:
        text = "; ".join(f"{v.field}: {v.description}" for v in violations[:3])
        if len(violations) > 3:  # noqa: PLR2004 - the details carry all of them
            text += f"; and {len(violations) - 3} more"
        super().__init__("INVALID_FIELD", text, violations=violations)

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidArgument":
        return cls(Violation(field, description))


class NotFound(VwedError):
    code = "NOT_FOUND"


class AlreadyExists(VwedError):
    code = "ALREADY_EXISTS"


class FailedPrecondition(VwedError):
    code = "FAILED_PRECONDITION"


class Aborted(VwedError):
    code = "ABORTED"


class OutOfRange(VwedError):
    code = "OUT_OF_RANGE"


class ResourceExhausted(VwedError):
    code = "RESOURCE_EXHAUSTED"


class Busy(ResourceExhausted):
    """Others have all that work of this kind may take: it was not begun, whoever asked for it."""


def disk_full() -> Busy:
    """What is told while there is no room for more, or hardly any."""
    return Busy("DISK_FULL", "the store's disk is full", retry_after=5.0)


class Unavailable(VwedError):
    code = "UNAVAILABLE"


class DeadlineExceeded(VwedError):
    code = "DEADLINE_EXCEEDED"


class Unimplemented(VwedError):
    code = "UNIMPLEMENTED"


class Unauthenticated(VwedError):
    """Nobody knows who calls."""

    code = "UNAUTHENTICATED"


class PermissionDenied(VwedError):
    """Who calls is known, and may not."""

    code = "PERMISSION_DENIED"
