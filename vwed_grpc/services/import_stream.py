"""What comes in with an import, put together: the versions of one resource, which stay together."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from tempfile import SpooledTemporaryFile
from typing import TypeAlias

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import ImportError as ItemError
from vwed.v1.task_def_service_pb2 import ImportTaskDefsRequest
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.errors import InvalidArgument, VwedError
from vwed_grpc.rpc.methods import Requests, ended_by_caller

Resource: TypeAlias = TaskDef | TaskTemplate
Check: TypeAlias = Callable[[str, Resource], Awaitable[None]]
"""Raises VwedError for a bad item, whose kind is "task_def" or "task_template"."""

IN_MEMORY = 8 << 20
"""Bytes of one resource's versions above which they wait on disk for the last of them."""
MAX_VERSION = 1 << 30
"""There must be room for what follows it."""
MAX_ERRORS = 1_000
_MAX_MESSAGE = 512
"""Characters: an answer holds all errors."""


class Lineage:
    """The versions of one resource, by growing version, as they came one after another."""

    def __init__(self, kind: str, id_: str) -> None:
        self.kind = kind
        self.id = id_
        self.index = 0
        """Of the newest version in the stream."""
        self.newest: Resource | None = None
        self.errors: list[ItemError] = []
        self._older = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `close`

    def close(self) -> None:
        self._older.close()

    def add(self, index: int, item: Resource) -> None:
        """Raises InvalidArgument unless it is the next version."""
        previous = self.newest.version if self.newest else 0
        item.version = item.version or previous + 1
        if not self.errors:  # else one may lack before it, and no version will be written
            if not 1 <= item.version <= MAX_VERSION or previous not in (0, item.version - 1):
                raise InvalidArgument.of(
                    f"{self.kind}.version", f"cannot be {item.version} after {previous}"
                )
            if self.newest:
                raw = self.newest.SerializeToString()
                self._older.write(len(raw).to_bytes(4) + raw)
        self.index, self.newest = index, item

    def older(self) -> Iterator[Resource]:
        """All but the newest version; may be asked for again."""
        self._older.seek(0)
        while size := self._older.read(4):
            item = TaskDef() if self.kind == "task_def" else TaskTemplate()
            item.MergeFromString(self._older.read(int.from_bytes(size)))
            yield item

    def refuse(self, index: int, error: VwedError, version: int = 0) -> None:
        """Nothing of it can be written then, since it would not be whole."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(
                ItemError(
                    index=index,
                    kind=self.kind,
                    id=self.id[:_MAX_MESSAGE],
                    version=version,
                    reason=error.reason,
                    message=error.message[:_MAX_MESSAGE],
                )
            )


async def lineages(
    requests: Requests[ImportTaskDefsRequest], check: Check
) -> AsyncGenerator[Lineage]:
    """The items after the options, as soon as the last version of each resource is known.

    What cannot be told to belong elsewhere is taken for a version of the resource that it follows.
    Raises InvalidArgument for options in the midst of items.
    """
    lineage = Lineage("", "")
    index = -1
    try:
        async for request, problem in requests:
            index += 1
            kind = request.WhichOneof("message") or ""
            if kind == "options":
                raise InvalidArgument.of("options", "stand in the first message alone")
            item: Resource | None = getattr(request, kind) if kind else None
            if item is not None and (kind, item.id) != (lineage.kind, lineage.id):
                yield lineage
                lineage.close()
                lineage = Lineage(kind, item.id)
            try:
                if problem is not None:
                    raise problem
                if item is None:
                    raise InvalidArgument.of("message", "holds no item")
                await check(kind, item)
                lineage.add(index, item)
            except InvalidArgument as error:
                lineage.refuse(index, error, item.version if item is not None else 0)
        await ended_by_caller()
        yield lineage
    finally:
        lineage.close()
