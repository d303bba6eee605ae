"""A whole service for tests: the server, PostgreSQL and Redis, with nothing to install or clean up.

Example:
    async with server() as target, connect(target) as client:
        ...

pytest has it as the fixtures `vwed_target`, `vwed_tenant` and `vwed_client`. Importing this costs
nothing: what a service needs is imported by its own process.
"""

from vwed_grpc.testing.service import Service, ServiceEndedError, server

__all__ = ["Service", "ServiceEndedError", "server"]
