"""The RPCs that carry definitions and templates from one system to another."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from enum import Enum, auto
from typing import Any

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    ExportTaskDefsRequest,
    ExportTaskDefsResponse,
    ImportTaskDefsOptions,
    ImportTaskDefsRequest,
    ImportTaskDefsResponse,
)

from vwed_grpc.domain.definition_status import ENABLED
from vwed_grpc.domain.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.ids import ID, ID_DEMAND
from vwed_grpc.progress.commit import Effects
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.methods import Requests
from vwed_grpc.rpc.validation import validate
from vwed_grpc.services.backend import named_id
from vwed_grpc.services.import_stream import MAX_ERRORS, Lineage, Resource, lineages
from vwed_grpc.services.templates import TaskTemplates
from vwed_grpc.services.versioned import Versioned
from vwed_grpc.storage import definitions
from vwed_grpc.storage.database import Transaction
from vwed_grpc.storage.export import exported

NOT_EXPORTED = ("created_by", "create_time", "update_time", "delete_time", "etag")
ORIGIN = frozenset({"status", "task_template_id", "task_template_version"})


class _Outcome(Enum):
    CREATED = auto()
    UPDATED = auto()
    SKIPPED = auto()
    CONFLICT = auto()


class Transfer(TaskTemplates):
    async def ExportTaskDefs(
        self, request: ExportTaskDefsRequest, call: Call
    ) -> AsyncIterator[bytes]:
        del request  # asks for nothing
        database = self.backend.database
        async for template in exported(database, definitions.task_templates, call.tenant):
            yield _item(ExportTaskDefsResponse(task_template=template))
        async for task_def in exported(database, definitions.task_defs, call.tenant):
            yield _item(ExportTaskDefsResponse(task_def=task_def))

    async def ImportTaskDefs(
        self, requests: Requests[ImportTaskDefsRequest], call: Call
    ) -> ImportTaskDefsResponse:
        options = await _options(requests)
        answer = ImportTaskDefsResponse()
        async with aclosing(lineages(requests, self._check)) as read:
            async for lineage in read:
                outcome = await self._take(lineage, options, call)
                answer.errors.extend(lineage.errors[: MAX_ERRORS - len(answer.errors)])
                match outcome:
                    case _Outcome.CREATED:
                        answer.created += 1
                    case _Outcome.UPDATED:
                        answer.updated += 1
                    case _Outcome.SKIPPED:
                        answer.skipped += 1
                    case _Outcome.CONFLICT:
                        break
        return answer

    async def _check(self, kind: str, item: Resource) -> None:
        validate(item, kind)
        named_id(item.id, kind)
        if isinstance(item, TaskDef):
            if item.task_template_id and not ID.fullmatch(item.task_template_id):
                raise InvalidArgument.of(f"{kind}.task_template_id", ID_DEMAND)
            if item.task_template_version < 0:
                raise InvalidArgument.of(f"{kind}.task_template_version", "must not be negative")
        of = self._of(kind)
        of.complete(item)
        await of.check(item, kind)

    def _of(self, kind: str) -> Versioned[Any]:
        return self.task_defs if kind == "task_def" else self.templates

    async def _take(
        self, lineage: Lineage, options: ImportTaskDefsOptions, call: Call
    ) -> _Outcome | None:
        """Writes all versions of one resource, or none and notes why; None: none."""
        newest = lineage.newest
        if newest is None:
            return None
        if lineage.errors:
            if lineage.errors[-1].index != lineage.index:
                lineage.refuse(lineage.index, _not_whole(lineage), newest.version)
            return None

        async def work(tx: Transaction, effects: Effects) -> _Outcome:
            return await self._write(tx, effects, call, lineage, newest, options.conflict)

        try:
            outcome = await self.write(call, work, validate_only=options.validate_only)
        except (AlreadyExists, FailedPrecondition) as error:
            lineage.refuse(lineage.index, error, newest.version)
            return None
        if outcome is _Outcome.CONFLICT:
            lineage.refuse(lineage.index, _exists(lineage), newest.version)
        return outcome

    async def _write(
        self,
        tx: Transaction,
        effects: Effects,
        call: Call,
        lineage: Lineage,
        newest: Resource,
        conflict: ImportTaskDefsOptions.Conflict.ValueType,
    ) -> _Outcome:
        of = self._of(lineage.kind)
        present = await of.definitions.find(tx, call.tenant, lineage.id)
        if present is None:
            await self._create(tx, effects, call, lineage, newest)
            return _Outcome.CREATED
        if conflict == ImportTaskDefsOptions.CONFLICT_SKIP:
            return _Outcome.SKIPPED
        if conflict == ImportTaskDefsOptions.CONFLICT_FAIL:
            return _Outcome.CONFLICT
        if present.HasField("delete_time"):
            raise of.definitions.deleted(lineage.id)
        if of.same_content(present, newest):
            return _Outcome.SKIPPED
        apply_mask(present, newest, of.content | {"change_note"})
        await of.write(tx, call, effects, present)
        return _Outcome.UPDATED

    async def _create(
        self, tx: Transaction, effects: Effects, call: Call, lineage: Lineage, newest: Resource
    ) -> None:
        """The resource with all its versions; the newest is what it is now."""
        of = self._of(lineage.kind)
        message = type(newest)()
        apply_mask(message, newest, of.content | {"id", "version", "change_note"})
        message.created_by = call.actor
        if isinstance(message, TaskDef):
            apply_mask(message, newest, ORIGIN)
            message.status = message.status or ENABLED
        await of.definitions.insert(tx, call.tenant, message)
        versions = [message.version]
        for older in lineage.older():
            older.created_by = call.actor
            await of.definitions.write_version(tx, call.tenant, older)
            versions.append(older.version)
        of.changed(call, effects, message.id, *versions)


def _item(response: ExportTaskDefsResponse) -> bytes:
    """The same item always has the same bytes."""
    item: Any = response.task_def
    if response.HasField("task_template"):
        item = response.task_template
    for field in NOT_EXPORTED:
        item.ClearField(field)
    return response.SerializeToString(deterministic=True)


async def _options(requests: Requests[ImportTaskDefsRequest]) -> ImportTaskDefsOptions:
    """Of the first message, which has nothing else."""
    async for request, problem in requests:
        if problem is not None:
            raise problem
        if request.HasField("options"):
            return request.options
        break
    raise InvalidArgument.of("options", "must stand in the first message")


def _not_whole(lineage: Lineage) -> FailedPrecondition:
    return FailedPrecondition(
        "VERSION_REFUSED",
        f"another version of {lineage.kind} {lineage.id!r} is refused: nothing of it was written",
    )


def _exists(lineage: Lineage) -> AlreadyExists:
    return AlreadyExists("ID_TAKEN", f"there is a {lineage.kind} with the id {lineage.id!r}")
