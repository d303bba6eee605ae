"""What definitions and templates do alike: get, update and delete along the rules of versions."""

import copy
from collections.abc import Callable
from typing import Generic, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument, Violation
from vwed_grpc.domain.field_mask import apply_mask, masked_fields
from vwed_grpc.domain.ids import new_id
from vwed_grpc.progress.commit import Effects
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.validation import validate
from vwed_grpc.services.backend import DEFINITION_TTL, Backend
from vwed_grpc.storage.database import Transaction
from vwed_grpc.storage.definitions import Definitions

D = TypeVar("D", bound=TaskDef | TaskTemplate)


class Versioned(Generic[D]):
    """The rules of names and versions for one of the two resources."""

    def __init__(
        self,
        backend: Backend,
        definitions: Definitions[D],
        content: frozenset[str],
        problems: Callable[[D, str], list[Violation]],
    ) -> None:
        self.backend = backend
        self.definitions = definitions
        self.noun = definitions.noun
        self.content = content
        """The fields whose change makes a version; an update may set these alone."""
        self.problems = problems
        """What is wrong with the content beyond the rules of its fields, by path."""

    def check(self, message: D, path: str) -> None:
        """Raises InvalidArgument with all that is wrong with the content."""
        if found := self.problems(message, path):
            raise InvalidArgument(*found)

    async def get(self, call: Call, id_: str, version: int) -> bytes:
        """The serialized resource: the latest from Redis, a version from this process."""
        b = self.backend

        async def load() -> bytes | None:
            found = await self.definitions.get(b.database, call.tenant, id_, version)
            return found.SerializeToString() if found else None

        if not version:
            key = b.keys.key(self.noun, call.tenant, id_)
            answer = await b.cache.get(key, DEFINITION_TTL, load, strong=call.strong)
        else:
            key = b.keys.key(self.noun, call.tenant, id_, str(version))
            answer = None if call.strong else b.versions.get(key)
            if answer is None:
                answer = await b.cache.get(key, DEFINITION_TTL, load, strong=call.strong)
                if answer is not None:
                    b.versions.put(key, answer)
        if answer is None:
            raise self.definitions.missing(id_)
        return answer

    def changed(self, call: Call, effects: Effects, message: D) -> None:
        """What others may remember of the resource is stale; its newest version was absent."""
        key = self.backend.keys.key
        effects.stale += [
            key(self.noun, call.tenant, message.id),
            key(self.noun, call.tenant, message.id, str(message.version)),
        ]

    async def create(self, tx: Transaction, call: Call, effects: Effects, given: D) -> D:
        """A new resource at its version 1; `given` holds what may be given, and is well formed."""
        message = copy.deepcopy(given)
        message.id = message.id or new_id()
        for name in self.definitions.json_fields:
            getattr(message, name).SetInParent()
        message.created_by = call.actor
        await self.definitions.insert(tx, call.tenant, message)
        self.changed(call, effects, message)
        return message

    async def live(self, tx: Transaction, call: Call, id_: str, etag: str) -> D:
        """The locked resource. Raises FailedPrecondition if it is soft-deleted."""
        message = await self.definitions.lock(tx, call.tenant, id_, etag)
        if message.HasField("delete_time"):
            raise FailedPrecondition(
                f"{self.noun.upper()}_DELETED",
                f"{self.noun} {id_!r} is deleted: only get and undelete work",
                metadata={"id": id_},
            )
        return message

    async def update(
        self, tx: Transaction, call: Call, effects: Effects, given: D, mask: FieldMask
    ) -> D:
        """Sets the masked fields; a change of content is the next version, none writes nothing."""
        message = await self.live(tx, call, given.id, given.etag)
        stored = copy.deepcopy(message)
        fields = masked_fields(mask, given, self.content)
        apply_mask(message, given, fields)
        for name in self.definitions.json_fields:
            getattr(message, name).SetInParent()
        message.change_note = given.change_note
        validate(message, self.noun)
        if self.content_of(message) == self.content_of(stored):
            return stored
        if fields & set(self.definitions.json_fields):
            self.check(message, self.noun)
        message.created_by = call.actor
        await self.definitions.save(tx, call.tenant, message, new_content=True)
        self.changed(call, effects, message)
        return message

    def content_of(self, message: D) -> bytes:
        """The versioned content in bytes that are equal where the content is."""
        content = type(message)()
        apply_mask(content, message, self.content)
        return content.SerializeToString(deterministic=True)

    async def delete(self, tx: Transaction, call: Call, effects: Effects, message: D) -> D:
        """Soft-deletes a live, locked resource."""
        message.delete_time.FromDatetime(tx.now)
        await self.definitions.save(tx, call.tenant, message, new_content=False)
        self.changed(call, effects, message)
        return message
