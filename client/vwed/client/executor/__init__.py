"""A robot's executor: runs claimed, driven by code, and reported, whatever happens meanwhile."""

from vwed.client.executor.attempts import Attempt, Attempts
from vwed.client.executor.block import Block
from vwed.client.executor.blocking_run import BlockingBlock, BlockingRun, BlockingRunCache
from vwed.client.executor.executor import Executor
from vwed.client.executor.run import Run
from vwed.client.executor.run_cache import RunCache
from vwed.client.executor.steps import Step
from vwed.client.executor.stopping import BlockFailed, RunStopped, StopReason

__all__ = [
    "Attempt",
    "Attempts",
    "Block",
    "BlockFailed",
    "BlockingBlock",
    "BlockingRun",
    "BlockingRunCache",
    "Executor",
    "Run",
    "RunCache",
    "RunStopped",
    "Step",
    "StopReason",
]
