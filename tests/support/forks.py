"""uvloop forks to start a process, and gRPC's handlers of forks crash the child at times.

The child becomes another program at once, so it needs none of them. gRPC reads this when it is
imported.
"""

import os
import sys

assert "grpc" not in sys.modules, "gRPC was imported before this"
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
