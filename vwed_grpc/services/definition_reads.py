"""Reading one definition or template: the latest from Redis, a version from this process."""

from dataclasses import dataclass
from typing import TypeVar

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.cache.keys import DEFINITION_TTL, KeySpace
from vwed_grpc.cache.local import LocalVersions
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.rpc.call import Call
from vwed_grpc.storage.definitions import Definitions
from vwed_grpc.storage.pool import ReadingPool

D = TypeVar("D", bound=TaskDef | TaskTemplate)


@dataclass(frozen=True, kw_only=True, slots=True)
class DefinitionReads:
    live: ReadingPool
    cache: ReadThrough
    versions: LocalVersions
    keys: KeySpace

    async def get(self, of: Definitions[D], call: Call, id_: str, *, version: int) -> bytes:
        """The serialized resource, at a version or (0) as it is now. Raises NotFound."""

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
