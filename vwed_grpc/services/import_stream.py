"""What comes in with an import, put together by resource before anything is written.

Its messages may come in any order, and what a resource becomes, and which names are free, is known
after the last of them. Until then they wait in a temporary file.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import pairwise
from tempfile import SpooledTemporaryFile
from typing import NamedTuple, TypeAlias

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import ImportError as ItemError
from vwed.v1.task_def_service_pb2 import ImportTaskDefsRequest
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    VwedError,
)
from vwed_grpc.loop.offload import offload
from vwed_grpc.rpc.errors import drop_tracebacks
from vwed_grpc.rpc.methods import Requests, ended_by_caller

Resource: TypeAlias = TaskDef | TaskTemplate
Check: TypeAlias = Callable[[str, Resource], Awaitable[None]]
"""Raises VwedError for a bad item, whose kind is "task_def" or "task_template"."""

MAX_ITEMS = 200_000
MAX_BYTES = 1 << 30
"""Of one import. More can be sent as several, each with all versions of what it has."""

MAX_VERSION = 1 << 30
"""There must be room for what follows it."""
MAX_ERRORS = 1_000
_IN_MEMORY = 8 << 20
"""Bytes above which the file is one on disk."""
_MAX_ID = 129
"""Characters: a longer id is refused all the same."""
_MAX_MESSAGE = 512
"""Characters: an answer holds all errors."""


class _Item(NamedTuple):
    place: int
    """In the stream, from 0."""
    offset: int
    size: int


class Lineage:
    """The versions of one resource."""

    def __init__(self, kind: str, id_: str) -> None:
        self.kind = kind
        self.id = id_
        self.name = ""
        """Of the newest version."""
        self.items: dict[int, _Item] = {}
        """By version."""
        self.last_version = 0
        """Of the item that came last; 0: none."""
        self.refused_at: set[int] = set()
        """Indexes of its items; if there is one, nothing of it is written, for it is not whole."""
        self.errors: list[ItemError] = []
        """At most MAX_ERRORS in all lineages."""

    @property
    def newest(self) -> int:
        return max(self.items)

    @property
    def index(self) -> int:
        """Of the newest version in the stream."""
        return self.items[self.newest].place


class ImportedItems:
    """All of an import; to be closed."""

    def __init__(self) -> None:
        self.names: dict[tuple[str, str], str] = {}
        """The ids that the import gave names to, by (kind, name)."""
        self._lineages: dict[tuple[str, str], Lineage] = {}
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._size = 0
        self._errors = 0

    def close(self) -> None:
        self._file.close()

    def whole(self) -> list[Lineage]:
        """What may be written, in the order of the first items."""
        for lineage in self._lineages.values():
            for before, after in pairwise(sorted(lineage.items)):
                if after != before + 1 and not lineage.refused_at:
                    error = _bad_version(lineage, f"cannot be {after} after {before}")
                    self.refuse(lineage, lineage.items[after].place, error, after)
        return [each for each in self._lineages.values() if each.items and not each.refused_at]

    def errors(self, last: Lineage | None) -> Iterator[ItemError]:
        """Why what is not written is not, resource by resource; its newest item is among them.

        What comes after `last` was not to be written.
        """
        for lineage in self._lineages.values():
            if lineage.refused_at and lineage.items and lineage.index not in lineage.refused_at:
                self.refuse(lineage, lineage.index, _not_whole(lineage), lineage.newest)
            yield from lineage.errors
            if lineage is last:
                return

    def lineage(self, kind: str, id_: str) -> Lineage:
        key = kind, id_[:_MAX_ID]
        return self._lineages.setdefault(key, Lineage(*key))

    def add(self, lineage: Lineage, index: int, item: Resource) -> None:
        """Raises InvalidArgument for a version that cannot be or is there, ResourceExhausted."""
        item.version = item.version or lineage.last_version + 1
        lineage.last_version = item.version
        if not 1 <= item.version <= MAX_VERSION:
            raise _bad_version(lineage, f"cannot be {item.version}")
        if item.version in lineage.items:
            raise _bad_version(lineage, f"is {item.version} a second time")
        raw = item.SerializeToString()
        if self._size + len(raw) > MAX_BYTES:
            raise _too_large()
        self._file.seek(self._size)
        self._file.write(raw)
        lineage.items[item.version] = _Item(index, self._size, len(raw))
        self._size += len(raw)
        if item.version == lineage.newest:
            lineage.name = item.name

    def require_free(self, lineage: Lineage) -> None:
        """Raises AlreadyExists for a name that the import gave to another id.

        The database would say so too, unless nothing is written.
        """
        if self.names.get((lineage.kind, lineage.name), lineage.id) != lineage.id:
            raise AlreadyExists(
                "NAME_TAKEN",
                f"there is a {lineage.kind} with the name {lineage.name!r}",
                metadata={"name": lineage.name},
            )

    async def read(self, lineage: Lineage, version: int) -> Resource:
        item = lineage.items[version]
        return await offload(item.size, self._read, lineage.kind, item)

    def _read(self, kind: str, item: _Item) -> Resource:
        self._file.seek(item.offset)
        message = TaskDef() if kind == "task_def" else TaskTemplate()
        message.MergeFromString(self._file.read(item.size))
        return message

    async def older(self, lineage: Lineage) -> AsyncIterator[Resource]:
        """All but the newest version."""
        for version in sorted(lineage.items)[:-1]:
            yield await self.read(lineage, version)

    def refuse(self, lineage: Lineage, index: int, error: VwedError, version: int) -> None:
        drop_tracebacks(error)
        lineage.refused_at.add(index)
        if self._errors < MAX_ERRORS:
            self._errors += 1
            lineage.errors.append(
                ItemError(
                    index=index,
                    kind=lineage.kind,
                    id=lineage.id,
                    version=version,
                    reason=error.reason,
                    message=error.message[:_MAX_MESSAGE],
                )
            )


async def take_in(
    items: ImportedItems, requests: Requests[ImportTaskDefsRequest], check: Check
) -> None:
    """Reads all after the options.

    What cannot be told to belong elsewhere is taken for a version of the resource that it follows.
    Raises InvalidArgument for options in the midst of items, ResourceExhausted for too many.
    """
    lineage = items.lineage("", "")
    index = -1
    async for request, problem in requests:
        index += 1
        if index == MAX_ITEMS:
            raise _too_large()
        kind = request.WhichOneof("message") or ""
        if kind == "options":
            raise InvalidArgument.of("options", "stand in the first message alone")
        item: Resource | None = getattr(request, kind) if kind else None
        if item is not None:
            lineage = items.lineage(kind, item.id)
        try:
            if problem is not None:
                raise problem
            if item is None:
                raise InvalidArgument.of("message", "holds no item")
            await check(kind, item)
            await offload(item.ByteSize(), items.add, lineage, index, item)
        except InvalidArgument as error:
            items.refuse(lineage, index, error, item.version if item is not None else 0)
    await ended_by_caller()


def _not_whole(lineage: Lineage) -> FailedPrecondition:
    return FailedPrecondition(
        "VERSION_REFUSED",
        f"another version of {lineage.kind} {lineage.id!r} is refused: nothing of it was written",
    )


def _bad_version(lineage: Lineage, problem: str) -> InvalidArgument:
    return InvalidArgument.of(f"{lineage.kind}.version", problem)


def _too_large() -> ResourceExhausted:
    return ResourceExhausted(
        "IMPORT_TOO_LARGE",
        f"an import may have {MAX_ITEMS:,} items and {MAX_BYTES:,} bytes: nothing was written, "
        "send it as several, each with all versions of what it has",
    )
