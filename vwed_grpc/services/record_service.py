"""RecordService: runs, their blocks, and the live history of both."""

from vwed_grpc.services.blocks import BlockRecords
from vwed_grpc.services.run_verbs import RunVerbs
from vwed_grpc.services.runs import TaskRecords
from vwed_grpc.services.watches import History


class RecordService(TaskRecords, RunVerbs, BlockRecords, History):
    """The RPCs stand by subject: `runs`, `run_verbs`, `blocks`, `watches`."""
