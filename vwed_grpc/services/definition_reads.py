"""Reading one definition or template: the latest from Redis, a version from this process."""

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


class DefinitionReads:
    def __init__(
        self, *, live: ReadingPool, cache: ReadThrough, versions: LocalVersions, keys: KeySpace
    ) -> None:
        self._live = live
        self._cache = cache
        self._versions = versions
        self._keys = keys

    async def get(self, of: Definitions[D], call: Call, id_: str, *, version: int) -> bytes:
        """The serialized resource, at a version or (0) as it is now. Raises NotFound."""

        async def load() -> bytes | None:
            found = await of.get(self._live, call.tenant, id_, version=version)
            return found.SerializeToString() if found else None

        if not version:
            key = self._keys.key(of.noun, call.tenant, id_)
            answer = await self._cache.get(key, DEFINITION_TTL, load, strong=call.strong)
        else:
            key = self._keys.key(of.noun, call.tenant, id_, str(version))
            answer = None if call.strong else self._versions.get(key)
            if answer is None:
                answer = await self._cache.get(key, DEFINITION_TTL, load, strong=call.strong)
                if answer is not None:
                    self._versions.put(key, answer)
        if answer is None:
            raise await of.missing_at(self._live, call.tenant, id_, version=version)
        return answer
