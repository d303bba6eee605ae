"""What all clients of a torture share: whom they call, which runs there are, what they are told."""

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import CreateTaskRecordRequest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import CreateTaskDefRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.faults.errors_met import Met, said
from vwed.client import Client, error_info, is_transient

TRY_SECONDS = 6.0
"""What a client waits for one answer."""


class Refused(Exception):
    """What the service said no to; `again`: after a try whose answer was lost."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again


@dataclass(frozen=True, slots=True)
class BlockTold:
    """A report's answer for one block: the change, or the one that had made it so before."""

    run: str
    seq: int
    block: tuple[str, str, int, int, str]


@dataclass(frozen=True, slots=True)
class RunTold:
    """A transition's answer."""

    run: str
    seq: int
    status: int
    etag: str


@dataclass
class Told:
    """Every promise of the service, to be looked up in the table afterwards."""

    blocks: list[BlockTold] = field(default_factory=list)
    runs: list[RunTold] = field(default_factory=list)
    signals: list[tuple[str, str]] = field(default_factory=list)
    retries: list[tuple[str, str]] = field(default_factory=list)
    """(retried, new) runs."""
    verbs: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    lost_answers: int = 0
    """Tries that were repeated because nobody knows what became of them."""

    def reported(self, run: str, blocks: Sequence[BlockRecord], seqs: Sequence[int]) -> None:
        """Of a request that was taken before, all reports of a block are answered as its last."""
        self.blocks += {
            seq: BlockTold(run, seq, (b.block_id, b.iteration, b.attempt or 1, b.status, b.message))
            for b, seq in zip(blocks, seqs, strict=True)
        }.values()

    def changed(self, record: TaskRecord) -> TaskRecord:
        self.runs.append(RunTold(record.id, record.seq, record.status, record.etag))
        return record


class Fleet:
    def __init__(self, clients: Sequence[Client], seed: int) -> None:
        self.clients = clients
        self.random = random.Random(seed)
        self.runs: list[str] = []
        """In order of their creation."""
        self.busy: list[str] = []
        """Some that executors had when somebody looked last."""
        self.told = Told()
        self.met: list[Met] = []
        """All errors that anybody was told."""
        self.over = asyncio.Event()
        """No new work is begun any more."""
        self.pause = 0.25
        """Seconds between two deeds of a robot, at the most."""
        self.task_def = ""
        self._messages = 0

    async def define(self) -> None:
        config = Struct()
        config.update({"blocks": [{"id": f"b{n}", "type": "move"} for n in range(6)]})
        self.task_def = await self.new_definition(config)

    async def new_definition(self, config: Struct, task_type: str = "") -> str:
        name = f"torture-{uuid.uuid4().hex}"
        request = CreateTaskDefRequest(
            task_def=TaskDef(name=name, config=config, task_type=task_type)
        )
        return (await self.clients[0].definitions.CreateTaskDef(request)).id

    async def ask(self, verb: str, request: Message) -> Any:
        """Until some replica answers. Raises Refused with the service's reason."""
        again = False
        while True:
            method = getattr(self.random.choice(self.clients).records, verb)
            try:
                answer = await method(request, timeout=TRY_SECONDS)
            except grpc.aio.AioRpcError as exc:
                reason = self.refusal(verb, exc)
                if reason is not None:
                    self.told.refusals[f"{verb} {reason}"] += 1
                    raise Refused(reason, again=again) from None
                again = True
                await asyncio.sleep(self.random.uniform(0.02, 0.3))
            else:
                self.told.verbs[verb] += 1
                return answer

    def meet(self, where: str, error: str) -> None:
        self.met.append(Met(time.time(), where, error))

    def refusal(self, verb: str, exc: grpc.aio.AioRpcError) -> str | None:
        """The service's reason; None: try again."""
        self.meet(verb, said(exc))
        info = error_info(exc)
        code = exc.code()
        if is_transient(exc) or code is grpc.StatusCode.DEADLINE_EXCEEDED:
            self.told.lost_answers += 1
            return None
        if code is grpc.StatusCode.ABORTED and info is not None and info.reason == "CONFLICT":
            return None
        return f"{code.name} {info.reason if info else exc.details()}"

    async def create(self, **given: Any) -> TaskRecord:
        """A run, of the robots' definition unless another is given."""
        given.setdefault("task_def_id", self.task_def)
        record: TaskRecord = self.told.changed(
            await self.ask(
                "CreateTaskRecord",
                CreateTaskRecordRequest(
                    task_record=TaskRecord(**given),
                    request_id=str(uuid.uuid4()),
                ),
            )
        )
        self.runs.append(record.id)
        return record

    def message(self) -> str:
        """A text that no other report has."""
        self._messages += 1
        return f"m{self._messages}"


def seconds(value: float) -> Duration:
    return Duration(seconds=int(value), nanos=round(value % 1 * 1e9))
