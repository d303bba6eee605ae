"""The client for code without an event loop: calls that block, watches that are plain iterators.

Example:
    with blocking.connect("127.0.0.1:50051", tenant="plant-2", actor="wms") as client:
        run = client.records.CreateTaskRecord(request)
        for event in blocking.watch_run(client, run.id):
            ...

Arguments, deadlines, repeats and errors are those of `vwed.client`, which does the work in a
background thread. Many threads may share a client. Ctrl-C ends the call that waits.

A process that has used a client must not fork: gRPC's threads do not survive it, and the child
hangs, crashes or, at best, gets a RuntimeError. Servers that fork (gunicorn) connect afterwards, in
each worker; `multiprocessing` is told to spawn.
"""

from vwed.client.blocking.connection import Client, connect
from vwed.client.blocking.paging import pages
from vwed.client.blocking.watches import watch_messages, watch_run, watch_runs

__all__ = ["Client", "connect", "pages", "watch_messages", "watch_run", "watch_runs"]
