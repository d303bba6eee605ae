"""Work that holds the interpreter is done by another process, and comes back as it ended there."""

import os
import signal
import time

import pytest

from tests.support.calls import json_object
from vwed_grpc.domain.definition_diff import difference
from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.templates import instantiate_serialized, problems_of_serialized
from vwed_grpc.loop.offload_process import offload_to_process

HEAVY = json_object(properties={f"p{n}": {"pattern": f"^{n}.{{1,150}}$"} for n in range(99)})
"""Takes some 100 ms to compile, in which nothing else of its process goes on."""


async def test_what_the_work_answers_comes_back() -> None:
    assert await offload_to_process(os.getpid) != os.getpid()
    bad = json_object(type="nothing").SerializeToString()
    problems = await offload_to_process(problems_of_serialized, b"", bad, "t")
    assert [problem.field for problem in problems] == ["t.parameters_schema.type"]


async def test_what_the_work_raises_is_raised() -> None:
    schema = json_object(required=["a"]).SerializeToString()
    with pytest.raises(InvalidArgument) as refused:
        await offload_to_process(instantiate_serialized, b"", schema, b"", b"")
    assert refused.value.violations == (Violation("parameters.a", "is required"),)
    assert refused.value.reason == "INVALID_FIELD"
    with pytest.raises(Exception, match="corrupt") as failed:
        await offload_to_process(difference, b"\xff", b"")
    assert "definition_diff.py" in failed.value.__notes__[0]  # where, for the log


async def test_a_process_that_is_killed_is_started_anew() -> None:
    first = await offload_to_process(os.getpid)
    os.kill(first, signal.SIGTERM)  # of those who stop all processes of a service
    assert await offload_to_process(os.getpid) == first
    os.kill(first, signal.SIGKILL)
    assert await offload_to_process(os.getpid) not in {first, os.getpid()}


async def test_the_work_takes_the_time_of_the_other_process() -> None:
    raw = HEAVY.SerializeToString()
    before = await offload_to_process(time.process_time)
    assert await offload_to_process(problems_of_serialized, b"", raw, "") == []
    assert await offload_to_process(time.process_time) - before > 0.02
