"""The RPCs of the versions of definitions and templates."""

from dataclasses import dataclass

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    DiffTaskDefVersionsRequest,
    ListTaskDefVersionsRequest,
    ListTaskDefVersionsResponse,
    ListTaskTemplateVersionsRequest,
    ListTaskTemplateVersionsResponse,
    RollbackTaskDefRequest,
)

from vwed_grpc.domain.definition_diff import difference
from vwed_grpc.loop.offload import LARGE
from vwed_grpc.loop.offload_process import offload_to_process
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.definition_reads import DefinitionReads
from vwed_grpc.services.definitions import TASK_DEFS
from vwed_grpc.storage import definitions
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects


@dataclass(frozen=True, kw_only=True, slots=True)
class DefinitionHistory:
    bulk: ReadingPool
    committer: Committer
    reads: DefinitionReads

    async def ListTaskDefVersions(self, request: ListTaskDefVersionsRequest, call: Call) -> bytes:
        page = await self.reads.list_versions(definitions.task_defs, call, request)
        return await page.response(ListTaskDefVersionsResponse, "task_def_versions")

    async def ListTaskTemplateVersions(
        self, request: ListTaskTemplateVersionsRequest, call: Call
    ) -> bytes:
        page = await self.reads.list_versions(definitions.task_templates, call, request)
        return await page.response(ListTaskTemplateVersionsResponse, "task_template_versions")

    async def RollbackTaskDef(self, request: RollbackTaskDefRequest, call: Call) -> TaskDef:
        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await TASK_DEFS.rollback(tx, effects, call, request=request)

        return await self.committer.run(self.bulk, work, call.remaining)

    async def DiffTaskDefVersions(self, request: DiffTaskDefVersionsRequest, call: Call) -> bytes:
        of, id_ = definitions.task_defs, request.id
        before = await self.reads.get(of, call, id_, version=request.from_version)
        after = await self.reads.get(of, call, id_, version=request.to_version)
        if len(before) + len(after) <= LARGE:
            return difference(before, after)
        return await offload_to_process(difference, before, after)
