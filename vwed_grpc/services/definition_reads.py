"""Reading definitions and templates, which are read alike."""

from dataclasses import dataclass
from typing import Any, TypeVar

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.cache.keys import DEFINITION_TTL, KeySpace
from vwed_grpc.cache.local import LocalVersions
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.listing import ListPage, list_page
from vwed_grpc.storage import definition_lists
from vwed_grpc.storage.definitions import Definitions
from vwed_grpc.storage.pool import Pool, ReadingPool

D = TypeVar("D", bound=TaskDef | TaskTemplate)


@dataclass(frozen=True, kw_only=True, slots=True)
class DefinitionReads:
    live: ReadingPool
    bulk: ReadingPool
    figures: Pool
    cache: ReadThrough
    versions: LocalVersions
    keys: KeySpace

    async def get(self, of: Definitions[D], call: Call, id_: str, *, version: int) -> bytes:
        """The serialized resource, at a version or (0) as it is now. Raises NotFound.

        What it is now comes from Redis, a version from this process.
        """

        async def load() -> bytes | None:
            found = await of.get(self.live, call.tenant, id_, version=version)
            return found.SerializeToString() if found else None

        if not version:
            key = self.keys.key(of.noun, call.tenant, id_)
            answer = await self.cache.get(key, DEFINITION_TTL, load, strong=call.strong)
        else:
            key = self.keys.key(of.noun, call.tenant, id_, str(version))
            answer = None if call.strong else self.versions.get(key)
            if answer is None:
                answer = await self.cache.get(key, DEFINITION_TTL, load, strong=call.strong)
                if answer is not None:
                    self.versions.put(key, answer)
        if answer is None:
            raise await of.missing_at(self.live, call.tenant, id_, version=version)
        return answer

    async def list(self, of: Definitions[D], call: Call, request: Any) -> ListPage[D]:
        """The page that a list request asks for."""
        return await list_page(
            call,
            request,
            bulk=self.bulk,
            figures=self.figures,
            listing=await definition_lists.filtered(
                self.bulk, of, call.tenant, f=request.filter, deleted=request.show_deleted
            ),
            where=[of.heads.c.tenant == call.tenant],
            default_order="create_time",
        )

    async def list_versions(self, of: Definitions[D], call: Call, request: Any) -> ListPage[D]:
        """The page of one resource's versions, the newest first. Raises NotFound."""
        await of.require(self.bulk, call.tenant, request.id)
        return await list_page(
            call,
            request,
            bulk=self.bulk,
            figures=self.figures,
            listing=definition_lists.history(of),
            where=[of.heads.c.tenant == call.tenant, of.heads.c.id == request.id],
            default_order="version desc",
            tie_breaker="version",
        )
