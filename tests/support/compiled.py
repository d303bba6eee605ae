"""Imported first: every process of the tests takes what Python has compiled from one place.

Where the environment forbids Python to write it down, each server that a test starts compiles all
that it imports anew: three seconds of a processor.
"""

import os
import sys
from pathlib import Path

_COMPILED = Path(__file__).parents[2] / ".pytest_cache" / "compiled"

if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(_COMPILED)
    sys.dont_write_bytecode = False
