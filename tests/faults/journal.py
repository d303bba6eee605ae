"""What an executor's code did, written outside the service as it happens: a line for each fact.

A line is written by one system call, so whoever is killed leaves whole lines.
"""

import itertools
import json
import math
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[str, str, int]
"""block_id, iteration, attempt."""

_MARK = re.compile("<[^<>]+>")


def mark_in(text: str) -> str:
    """What makes an end unlike all others, of an error's text; "" if there is none."""
    found = _MARK.search(text)
    return found[0] if found else ""


def clock() -> float:
    """Seconds, the same in every process of a machine, and going on while one is frozen."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Journal:
    """One life of a process."""

    def __init__(self, path: Path) -> None:
        self._life = path.stem
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._marks = itertools.count()
        self._drives = itertools.count()

    def mark(self) -> str:
        return f"<{self._life}.{next(self._marks)}>"

    def drive(self, executor: str, run: str, epoch: int) -> int:
        """An executor's code begins with a run. Answers the name of that for the other lines."""
        number = next(self._drives)
        self._write("drive", number, executor=executor, run=run, epoch=epoch)
        return number

    def begun(self, drive: int, key: Key, epoch: int, asked: float) -> None:
        """The code is in a block, which it had asked for at `asked`."""
        self._write("begun", drive, key=key, epoch=epoch, asked=asked)

    def ended(self, drive: int, key: Key, status: str, mark: str) -> None:
        """How the code leaves a block."""
        self._write("ended", drive, key=key, status=status, mark=mark)

    def heard(self, drive: int, signal: str) -> None:
        self._write("heard", drive, signal=signal)

    def over(self, drive: int, epoch: int, status: str, mark: str, reason: str) -> None:
        """How the code leaves its run; `reason`: why it was stopped, if it was."""
        self._write("over", drive, epoch=epoch, status=status, mark=mark, reason=reason)

    def _write(self, what: str, drive: int, **said: Any) -> None:
        line = {"what": what, "drive": drive, "at": clock(), "wall": time.time(), **said}
        os.write(self._file, json.dumps(line).encode() + b"\n")


@dataclass(slots=True)
class Begun:
    key: Key
    epoch: int
    asked: float
    at: float
    """By `clock`; `wall`: in seconds since 1970."""
    wall: float


@dataclass(slots=True)
class Ended:
    key: Key
    status: str
    mark: str


@dataclass(slots=True)
class Over:
    epoch: int
    status: str
    mark: str
    reason: str


@dataclass(slots=True)
class Drive:
    """One executor's time with one run, as its code saw it."""

    life: str
    executor: str
    run: str
    epoch: int
    """With which it began; taking the run back raises it."""
    at: float
    begun: list[Begun] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    over: Over | None = None
    """None: it was killed before."""
    gone: float = math.inf
    """When its process had ended, in seconds since 1970."""

    @property
    def epochs(self) -> set[int]:
        """Of which it knew."""
        known = {self.epoch} | {block.epoch for block in self.begun}
        return known | {self.over.epoch} if self.over else known


def read(path: Path, gone: float = math.inf) -> list[Drive]:
    """What one life of a process did, which had ended by `gone`."""
    drives: dict[int, Drive] = {}
    for text in path.read_text().splitlines():
        line = json.loads(text)
        number, at, wall = line.pop("drive"), line.pop("at"), line.pop("wall")
        if "key" in line:
            line["key"] = tuple(line["key"])
        match line.pop("what"):
            case "drive":
                drives[number] = Drive(path.stem, at=at, gone=gone, **line)
            case "begun":
                drives[number].begun.append(Begun(at=at, wall=wall, **line))
            case "ended":
                drives[number].ended.append(Ended(**line))
            case "heard":
                drives[number].heard.append(line["signal"])
            case "over":
                drives[number].over = Over(**line)
    return [*drives.values()]
