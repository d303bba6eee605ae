"""Much work in parts."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in order, `size` at a time; of none, none."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
