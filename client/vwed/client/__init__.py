"""A typed client: `connect`, the three services' stubs, and watches that survive lost connections.

Example:
    async with connect("127.0.0.1:50051", tenant="plant-2", actor="wms") as client:
        run = await client.records.CreateTaskRecord(request)
        async for event in watch_run(client, run.id):
            ...
"""

from vwed.client.connection import Client, Token, connect
from vwed.client.errors import error_info, is_transient
from vwed.client.persistence import persist
from vwed.client.watch import watch_messages, watch_run

__all__ = [
    "Client",
    "Token",
    "connect",
    "error_info",
    "is_transient",
    "persist",
    "watch_messages",
    "watch_run",
]
