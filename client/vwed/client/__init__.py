"""A typed client: `connect`, the three services, and watches that survive lost connections.

Example:
    async with connect("127.0.0.1:50051", tenant="plant-2", actor="wms") as client:
        run = await client.records.CreateTaskRecord(request)
        async for event in watch_run(client, run.id):
            ...

`vwed.client.blocking` has the same for code without an event loop.
"""

from vwed.client.connection import Client, connect
from vwed.client.errors import (
    Aborted,
    AlreadyExists,
    CallError,
    DeadlineExceeded,
    FailedPrecondition,
    IllegalTransition,
    InvalidArgument,
    LeaseLost,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    RunTaken,
    Unauthenticated,
    Unavailable,
    error_info,
    is_transient,
)
from vwed.client.executor import (
    BlockFailed,
    BlockingRun,
    Executor,
    Run,
    RunStopped,
    Step,
    StopReason,
)
from vwed.client.identity import Token
from vwed.client.paging import pages
from vwed.client.values import as_dict, as_struct, data_cache, entry_value
from vwed.client.watch_many import watch_runs
from vwed.client.watch_one import watch_messages, watch_run

__all__ = [
    "Aborted",
    "AlreadyExists",
    "BlockFailed",
    "BlockingRun",
    "CallError",
    "Client",
    "DeadlineExceeded",
    "Executor",
    "FailedPrecondition",
    "IllegalTransition",
    "InvalidArgument",
    "LeaseLost",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "Run",
    "RunStopped",
    "RunTaken",
    "Step",
    "StopReason",
    "Token",
    "Unauthenticated",
    "Unavailable",
    "as_dict",
    "as_struct",
    "connect",
    "data_cache",
    "entry_value",
    "error_info",
    "is_transient",
    "pages",
    "watch_messages",
    "watch_run",
    "watch_runs",
]
