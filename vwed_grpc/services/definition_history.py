"""The RPCs of a definition's versions."""

from typing import Any, TypeVar

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    DiffTaskDefVersionsRequest,
    ListTaskDefVersionsRequest,
    ListTaskDefVersionsResponse,
    RollbackTaskDefRequest,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.definition_diff import difference
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.offload import LARGE
from vwed_grpc.rpc.offload_process import offload_to_process
from vwed_grpc.services.backend import list_response
from vwed_grpc.services.definitions import TaskDefs
from vwed_grpc.storage import definition_lists, definitions
from vwed_grpc.storage.definitions import Definitions
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Effects

D = TypeVar("D", bound=TaskDef | TaskTemplate)


class TaskDefHistory(TaskDefs):
    async def ListTaskDefVersions(self, request: ListTaskDefVersionsRequest, call: Call) -> bytes:
        items, token, total = await self.versions(request, call, definitions.task_defs)
        answer = ListTaskDefVersionsResponse(next_page_token=token, total_size=total)
        return await list_response(answer, "task_def_versions", items)

    async def RollbackTaskDef(self, request: RollbackTaskDefRequest, call: Call) -> TaskDef:
        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await self.task_defs.rollback(tx, call, effects, request)

        return await self.write_bulk(call, work)

    async def DiffTaskDefVersions(self, request: DiffTaskDefVersionsRequest, call: Call) -> bytes:
        before = await self.task_defs.get(call, request.id, request.from_version)
        after = await self.task_defs.get(call, request.id, request.to_version)
        if len(before) + len(after) <= LARGE:
            return difference(before, after)
        return await offload_to_process(difference, before, after)

    async def versions(
        self, request: Any, call: Call, of: Definitions[D]
    ) -> tuple[list[D], str, int]:
        """One page of a definition's versions, as Get answers each; the newest first."""
        await of.require(self.backend.database.bulk, call.tenant, request.id)
        return await self.page(
            request,
            call,
            definition_lists.history(of),
            [of.heads.c.tenant == call.tenant, of.heads.c.id == request.id],
            fields=frozenset({"version"}),
            default="version desc",
            tie_breaker="version",
        )
