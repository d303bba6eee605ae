"""What a bad request is, and what there is when it comes."""

from dataclasses import dataclass

from google.protobuf.message import Message

DEF, RUN, ENDED, FOREIGN = "def-1", "run-1", "run-ended", "run-foreign"
"""What there is: a definition, its RUNNING and its SUCCEEDED run, and another tenant's run."""
TEMPLATE = "template-1"
"""And a template, whose config needs the parameter `to` of the pattern `^(a+)+$|A1`."""

INVALID, MISSING, TAKEN = "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS"
UNMET = "FAILED_PRECONDITION"

MIB = 1 << 20
LONG_ID = "x" * 129


@dataclass(frozen=True)
class BadRequest:
    """What is sent, the code that answers it, and the fields that are named."""

    method: str
    message: Message
    code: str = INVALID
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {' '.join(self.fields) or self.code}"
