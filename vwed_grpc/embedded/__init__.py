"""PostgreSQL and a Redis-compatible server from wheels, for a data directory and nothing else.

Enter `lock_data_dir` first, then `postgres` and `valkey`; each stops what it started on exit.
"""

from vwed_grpc.embedded.daemon import EmbeddedServerError
from vwed_grpc.embedded.data_dir import DataDirInUse, lock_data_dir
from vwed_grpc.embedded.postgres import has_postgres, postgres, url_of_running
from vwed_grpc.embedded.valkey import valkey

__all__ = [
    "DataDirInUse",
    "EmbeddedServerError",
    "has_postgres",
    "lock_data_dir",
    "postgres",
    "url_of_running",
    "valkey",
]
