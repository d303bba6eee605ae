"""Collections are short, and what is garbage goes all the same."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from vwed_grpc.loop import garbage
from vwed_grpc.loop.garbage import THRESHOLD, ShortCollections, importing


class Circle:
    """Refers to itself, so that only the collector finds it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(garbage, "GROWTH", 1000)
    collections = ShortCollections()
    collections.install()
    yield
    collections.remove()


def looked_at(thing: object) -> bool:
    """Whether a collection goes over it."""
    return any(each is thing for each in gc.get_objects())


def test_what_lived_through_a_collection_is_left_out_of_the_next_ones() -> None:
    living = Circle()
    assert looked_at(living)
    gc.collect()
    assert not looked_at(living)


def test_garbage_in_circles_goes_with_the_next_collection() -> None:
    gone = weakref.ref(Circle())
    gc.collect()
    assert gone() is None


def test_what_is_left_out_and_not_in_a_circle_goes_at_once() -> None:
    living: list[set[int]] = [set()]
    gone = weakref.ref(living[0])
    gc.collect()
    living.clear()
    assert gone() is None


def test_what_became_garbage_while_it_was_left_out_goes_when_it_is_much() -> None:
    living = [Circle() for _ in range(2000)]
    gone = [weakref.ref(each) for each in living]
    gc.collect()
    living.clear()
    for _ in range(3):
        gc.collect()
    assert not any(each() for each in gone)


def test_what_lives_is_left_out_again_however_much_it_is() -> None:
    living = [Circle() for _ in range(2000)]
    for _ in range(3):
        gc.collect()
    assert not looked_at(living[0])


def test_what_is_imported_is_gone_over_neither_then_nor_later() -> None:
    before = gc.get_stats()
    with importing():
        living = [Circle() for _ in range(2 * THRESHOLD)]
    assert gc.get_stats() == before
    assert not looked_at(living[0])
    assert gc.isenabled()
