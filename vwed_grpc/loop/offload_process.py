"""Work that holds the interpreter, done in another one: a process beside this.

To compile a schema is one call into C, of up to 130 ms, which lets no other thread of its process
go on; so a thread is of no use for it. The process is started by whoever needs it first, and ends
with this one, however this one ends.
"""

import asyncio
import atexit
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any, TypeVar, TypeVarTuple

from vwed_grpc.domain.errors import Unavailable, VwedError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_COMMAND = (sys.executable, "-c", f"from {__name__} import work_until_end; work_until_end()")


class _Process:
    """Does one piece of work at a time; to be used by one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """Ends it: nobody waits for what it does any more."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(BrokenPipeError):  # what it was not told
                process.communicate()

    def do(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """What `work` answers or raises there. Raises Unavailable if the process dies twice."""
        question = pickle.dumps((work, args))
        for _ in range(2):
            try:
                done, answer = self._ask(question)
            except (EOFError, OSError, pickle.UnpicklingError):
                self.close()  # somebody killed it: the system, for memory
                continue
            if done:
                return answer  # type: ignore[no-any-return]  # what `work` answered
            raise answer
        raise Unavailable("OFFLOAD_FAILED", "the process for large work has died, again")

    def _ask(self, question: bytes) -> tuple[bool, Any]:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C at a terminal is this process's to hear
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - it is a pipe, see above
        assert stdout is not None  # noqa: S101 - the same
        stdin.write(question)
        stdin.flush()
        return pickle.load(stdout)  # type: ignore[no-any-return]  # noqa: S301 - our own process


_lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offload-process")
_process = _Process()


atexit.register(_process.close)


async def offload_to_process(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """What `work` answers or raises, done in the process.

    `work` is a pure function of a module of `domain`, so that the process needs little memory; it
    takes and gives what can be pickled. Raises Unavailable.
    """
    done = _lane.submit(lambda: _process.do(work, *args))
    return await asyncio.wrap_future(done)


def work_until_end() -> None:
    """What the process does: one question after the other, until nobody can ask any more."""
    # Whoever stops a service says it to all of its processes; this one may still be needed.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    while _answer(questions, answers):
        pass


def _answer(questions: IO[bytes], answers: IO[bytes]) -> bool:
    try:
        work, args = pickle.load(questions)  # noqa: S301 - who asks is who started this
    except EOFError:
        return False
    try:
        answer: tuple[bool, Any] = True, work(*args)
    except VwedError as refusal:
        answer = False, refusal
    except Exception as error:  # noqa: BLE001 - whatever it is, it is for who asked
        error.add_note(traceback.format_exc())  # for the log: a traceback does not travel
        answer = False, error
    pickle.dump(answer, answers)
    answers.flush()
    return True
