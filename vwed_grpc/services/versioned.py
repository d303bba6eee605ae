"""What definitions and templates do alike: the rules of names and versions."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

import structlog
from google.protobuf.field_mask_pb2 import FieldMask
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.errors import AlreadyExists, InvalidArgument, Violation
from vwed_grpc.domain.field_mask import apply_mask, masked_fields
from vwed_grpc.domain.ids import new_id
from vwed_grpc.domain.wire_pieces import copy_in_pieces
from vwed_grpc.loop.offload import offload
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.validation import validate
from vwed_grpc.storage.definitions import Definitions
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Effects

D = TypeVar("D", bound=TaskDef | TaskTemplate)

log = structlog.get_logger("vwed")


class Versioned(Generic[D]):
    """The rules of names and versions for one of the two resources."""

    def __init__(
        self,
        definitions: Definitions[D],
        *,
        content: frozenset[str],
        problems: Callable[[D, str], Awaitable[list[Violation]]],
    ) -> None:
        self.definitions = definitions
        self.content = content
        """The fields whose change makes a version; an update may set these alone."""
        self.problems = problems
        """What is wrong with the content beyond the rules of its fields, by path."""

    async def check(self, message: D, path: str) -> None:
        """Raises InvalidArgument with all that is wrong with the content."""
        if found := await self.problems(message, path):
            raise InvalidArgument(*found)

    def changed(
        self, effects: Effects, call: Call, id_: str, *, versions: Iterable[int] = ()
    ) -> None:
        """What others may remember of the resource is stale; its new versions were absent."""
        key, noun = effects.keys.key, self.definitions.noun
        effects.stale.append(key(noun, call.tenant, id_))
        effects.stale += [key(noun, call.tenant, id_, str(version)) for version in versions]

    async def create(self, tx: Transaction, effects: Effects, call: Call, *, given: D) -> D:
        """A new resource at its version 1: what was given, well formed, with all that it lacks.

        So another try makes it with the same id.
        """
        message = given
        message.id = message.id or new_id()
        self.complete(message)
        message.created_by = call.actor
        await self.definitions.insert(tx, call.tenant, message)
        self.changed(effects, call, message.id, versions=[message.version])
        return message

    def complete(self, message: D) -> None:
        """Unset JSON is the empty object."""
        for name in self.definitions.json_fields:
            getattr(message, name).SetInParent()

    async def live(self, tx: Transaction, call: Call, id_: str, *, etag: str) -> D:
        """The locked resource. Raises FailedPrecondition if it is soft-deleted."""
        message = await self.definitions.lock(tx, call.tenant, id_, etag=etag)
        if message.HasField("delete_time"):
            raise self.definitions.deleted(id_)
        return message

    async def update(
        self, tx: Transaction, effects: Effects, call: Call, *, given: D, mask: FieldMask
    ) -> D:
        """Sets the masked fields; a change of content is the next version, none writes nothing."""
        stored = await self.live(tx, call, given.id, etag=given.etag)
        message = await offload(stored.ByteSize(), copy_in_pieces, stored)
        fields = masked_fields(mask, given, self.content)
        await offload(given.ByteSize(), apply_mask, message, given, fields)
        self.complete(message)
        message.change_note = given.change_note
        validate(message, self.definitions.noun)
        if await offload(message.ByteSize(), self.same_content, message, stored):
            return stored
        if fields & set(self.definitions.json_fields):
            await self.check(message, self.definitions.noun)
        return await self.write(tx, effects, call, message=message)

    def same_content(self, one: D, other: D) -> bool:
        return all(getattr(one, name) == getattr(other, name) for name in self.content)

    async def write(self, tx: Transaction, effects: Effects, call: Call, *, message: D) -> D:
        """Writes the content of a locked resource as its next version, by who calls."""
        message.created_by = call.actor
        await self.definitions.save(tx, call.tenant, message, new_content=True)
        self.changed(effects, call, message.id, versions=[message.version])
        return message

    async def rollback(self, tx: Transaction, effects: Effects, call: Call, *, request: Any) -> D:
        """An old content becomes the newest version; one that is equal to it writes nothing."""
        message = await self.live(tx, call, request.id, etag=request.etag)
        old = await self.definitions.pinned(tx, call.tenant, request.id, version=request.version)
        if old is None:
            raise await self.definitions.missing_at(
                tx, call.tenant, message.id, version=request.version
            )
        if await offload(old.ByteSize(), self.same_content, old, message):
            return message
        await offload(old.ByteSize(), apply_mask, message, old, self.content)
        self.complete(message)
        message.change_note = request.reason
        return await self.write(tx, effects, call, message=message)

    async def delete(self, tx: Transaction, effects: Effects, call: Call, *, message: D) -> D:
        """Soft-deletes a live, locked resource."""
        message.delete_time.FromDatetime(tx.now)
        return await self.keep_content(tx, effects, call, message=message)

    async def undelete(self, tx: Transaction, effects: Effects, call: Call, *, request: Any) -> D:
        """Raises AlreadyExists if the name was taken meanwhile, or if it is not deleted."""
        message = await self.definitions.lock(tx, call.tenant, request.id, etag=request.etag)
        if not message.HasField("delete_time"):
            # AIP-164 gives this the code of a name that is taken.
            raise AlreadyExists(
                f"{self.definitions.noun.upper()}_NOT_DELETED",
                f"{self.definitions.noun} {request.id!r} is not deleted",
                metadata={"id": request.id},
            )
        message.ClearField("delete_time")
        return await self.keep_content(tx, effects, call, message=message)

    async def keep_content(self, tx: Transaction, effects: Effects, call: Call, *, message: D) -> D:
        """Writes what is not content: no version, but another etag and update_time."""
        await self.definitions.save(tx, call.tenant, message, new_content=False)
        self.changed(effects, call, message.id)
        return message

    def note(self, call: Call, verb: str, request: Any) -> None:
        """Who did what no version tells, and why, in the log."""
        log.info(
            verb,
            kind=self.definitions.noun,
            id=request.id,
            tenant=call.tenant,
            actor=call.actor,
            reason=request.reason,
            request_id=call.request_id,
        )
