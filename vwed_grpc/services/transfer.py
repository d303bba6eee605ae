"""The RPCs that carry definitions and templates from one system to another."""

from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

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
from vwed_grpc.domain.ids import require_id
from vwed_grpc.domain.wire_format import field
from vwed_grpc.loop.offload import offload
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.methods import Requests
from vwed_grpc.rpc.validation import validate
from vwed_grpc.services.definitions import TASK_DEFS
from vwed_grpc.services.import_stream import ImportedItems, Lineage, Resource, take_in
from vwed_grpc.services.templates import TEMPLATES
from vwed_grpc.services.versioned import Versioned
from vwed_grpc.storage import definitions
from vwed_grpc.storage.export import Exported, exported
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects

D = TypeVar("D")

NOT_EXPORTED = ("created_by", "create_time", "update_time", "delete_time", "etag")
ORIGIN = frozenset({"status", "task_template_id", "task_template_version"})
_RULES: Mapping[str, Versioned[Any]] = {"task_def": TASK_DEFS, "task_template": TEMPLATES}
"""By kind of item."""


class _Outcome(Enum):
    CREATED = auto()
    UPDATED = auto()
    SKIPPED = auto()
    CONFLICT = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    bulk: ReadingPool
    committer: Committer

    async def ExportTaskDefs(
        self, request: ExportTaskDefsRequest, call: Call
    ) -> AsyncIterator[bytes]:
        del request  # asks for nothing
        templates = exported(self.bulk, definitions.task_templates, call.tenant)
        async for template in _in_places(templates, call):
            yield await offload(template.size, _item, "task_template", template)
        task_defs = exported(self.bulk, definitions.task_defs, call.tenant)
        async for task_def in _in_places(task_defs, call):
            yield await offload(task_def.size, _item, "task_def", task_def)

    async def ImportTaskDefs(
        self, requests: Requests[ImportTaskDefsRequest], call: Call
    ) -> ImportTaskDefsResponse:
        options = await _options(requests)
        answer = ImportTaskDefsResponse()
        last = None
        with closing(ImportedItems()) as items:
            await take_in(items, requests, _check)
            async with call.working():
                groups = await self._groups(items.whole(), options, call)
            for group in groups:
                async with call.working():
                    outcomes = await self._take(items, group, options, call=call)
                answer.created += outcomes.count(_Outcome.CREATED)
                answer.updated += outcomes.count(_Outcome.UPDATED)
                answer.skipped += outcomes.count(_Outcome.SKIPPED)
                if _Outcome.CONFLICT in outcomes:
                    last = group[0]
                    break
            answer.errors.extend(items.errors(last))
        return answer

    async def _groups(
        self, lineages: list[Lineage], options: ImportTaskDefsOptions, call: Call
    ) -> list[list[Lineage]]:
        """What must be written together: who takes a name with who has it and gets another one."""
        if options.conflict != ImportTaskDefsOptions.CONFLICT_OVERWRITE:
            return [[lineage] for lineage in lineages]
        groups = {(lineage.kind, lineage.id): [lineage] for lineage in lineages}
        for kind in ("task_template", "task_def"):
            named = {lineage.name: lineage for lineage in lineages if lineage.kind == kind}
            holders = _RULES[kind].definitions.holders
            async for name, id_ in holders(self.bulk, call.tenant, list(named)):
                taker = groups[kind, named[name].id]
                holder = groups.get((kind, id_), taker)
                if holder is not taker:
                    holder.extend(taker)
                    groups.update(((kind, lineage.id), holder) for lineage in taker)
        return list({id(group): group for group in groups.values()}.values())

    async def _take(
        self,
        items: ImportedItems,
        group: list[Lineage],
        options: ImportTaskDefsOptions,
        *,
        call: Call,
    ) -> list[_Outcome]:
        """Writes all versions of each in a transaction; what cannot be written is refused."""
        while group:
            failed = group[0]

            async def work(tx: Transaction, effects: Effects) -> list[_Outcome]:
                nonlocal failed
                present = await _present(tx, call, group)
                outcomes = []
                for failed in group:
                    stored = present[failed.id]
                    outcomes.append(
                        await _write(
                            tx,
                            effects,
                            call,
                            items=items,
                            lineage=failed,
                            present=stored,
                            conflict=options.conflict,
                        )
                    )
                return outcomes

            try:
                outcomes = await self.committer.run(
                    self.bulk, work, call.remaining, validate_only=options.validate_only
                )
            except (AlreadyExists, FailedPrecondition) as error:
                items.refuse(failed, failed.index, error, version=failed.newest)
                group.remove(failed)
                continue
            for lineage, outcome in zip(group, outcomes, strict=True):
                if outcome is _Outcome.CONFLICT:
                    items.refuse(lineage, lineage.index, _exists(lineage), version=lineage.newest)
                elif outcome is not _Outcome.SKIPPED:
                    items.names[lineage.kind, lineage.name] = lineage.id
            return outcomes
        return []


async def _check(kind: str, item: Resource) -> None:
    validate(item, kind)
    require_id(item.id, f"{kind}.id")
    if isinstance(item, TaskDef):
        if item.task_template_id:
            require_id(item.task_template_id, f"{kind}.task_template_id")
        if item.task_template_version < 0:
            raise InvalidArgument.of(f"{kind}.task_template_version", "must not be negative")
    of = _RULES[kind]
    of.complete(item)
    await of.check(item, kind)


async def _present(tx: Transaction, call: Call, group: list[Lineage]) -> dict[str, Resource | None]:
    """What there is of a group, locked; the names that it gives up are free for the others."""
    repository = _RULES[group[0].kind].definitions
    by_id = {lineage.id: lineage for lineage in group}
    present = {id_: await repository.find(tx, call.tenant, id_) for id_ in sorted(by_id)}
    if len(group) > 1:
        renamed = [
            id_
            for id_, stored in present.items()
            if stored and not stored.HasField("delete_time") and stored.name != by_id[id_].name
        ]
        await repository.free_names(tx, call.tenant, renamed)
    return present


async def _write(
    tx: Transaction,
    effects: Effects,
    call: Call,
    *,
    items: ImportedItems,
    lineage: Lineage,
    present: Resource | None,
    conflict: ImportTaskDefsOptions.Conflict.ValueType,
) -> _Outcome:
    of = _RULES[lineage.kind]
    newest = await items.read(lineage, lineage.newest)
    if present is None:
        items.require_free(lineage)
        await _create(tx, effects, call, items=items, lineage=lineage, newest=newest)
        return _Outcome.CREATED
    if conflict == ImportTaskDefsOptions.CONFLICT_SKIP:
        return _Outcome.SKIPPED
    if conflict == ImportTaskDefsOptions.CONFLICT_FAIL:
        return _Outcome.CONFLICT
    if present.HasField("delete_time"):
        raise of.definitions.deleted(lineage.id)
    size = lineage.items[lineage.newest].size
    if await offload(size, of.same_content, present, newest):
        return _Outcome.SKIPPED
    items.require_free(lineage)
    await offload(size, apply_mask, present, newest, of.content | {"change_note"})
    await of.write(tx, effects, call, message=present)
    return _Outcome.UPDATED


async def _create(
    tx: Transaction,
    effects: Effects,
    call: Call,
    *,
    items: ImportedItems,
    lineage: Lineage,
    newest: Resource,
) -> None:
    """The resource with all its versions; the newest is what it is now."""
    of = _RULES[lineage.kind]
    message = type(newest)()
    given = of.content | {"id", "version", "change_note"}
    await offload(lineage.items[lineage.newest].size, apply_mask, message, newest, given)
    message.created_by = call.actor
    if isinstance(message, TaskDef):
        apply_mask(message, newest, ORIGIN)
        message.status = message.status or ENABLED
    await of.definitions.insert(tx, call.tenant, message)
    versions = [message.version]
    async for older in items.older(lineage):
        older.created_by = call.actor
        await of.definitions.write_version(tx, call.tenant, older)
        versions.append(older.version)
    of.changed(effects, call, message.id, versions=versions)


async def _in_places(items: AsyncIterator[D], call: Call) -> AsyncIterator[D]:
    """Has a place while it reads, none while the caller takes what was read."""
    while True:
        async with call.working():
            item = await anext(items, None)
        if item is None:
            return
        yield item


def _item(kind: str, version: Exported[Any]) -> bytes:
    """The same item always has the same bytes."""
    item = version.message()
    for name in NOT_EXPORTED:
        item.ClearField(name)
    number = ExportTaskDefsResponse.DESCRIPTOR.fields_by_name[kind].number
    return field(number, item.SerializeToString(deterministic=True))


async def _options(requests: Requests[ImportTaskDefsRequest]) -> ImportTaskDefsOptions:
    """Of the first message, which has nothing else."""
    async for request, problem in requests:
        if problem is not None:
            raise problem
        if request.HasField("options"):
            return request.options
        break
    raise InvalidArgument.of("options", "must stand in the first message")


def _exists(lineage: Lineage) -> AlreadyExists:
    return AlreadyExists("ID_TAKEN", f"there is a {lineage.kind} with the id {lineage.id!r}")
