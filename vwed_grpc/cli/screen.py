"""What a terminal shows of a line; without one, lines are whole and plain."""

import shutil
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

UNLIMITED = 1 << 20


def columns() -> int:
    """How wide a line may be: what is read by a program is not cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED


def fit(text: Text, width: int) -> Text:
    """Cut to a number of columns, of which an East Asian character takes two."""
    text.rstrip()
    text.truncate(width, overflow="crop")
    text.no_wrap = True
    return text


def print_lines(lines: Iterable[Text]) -> None:
    """With colours where the terminal has them (NO_COLOR, FORCE_COLOR)."""
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line)
