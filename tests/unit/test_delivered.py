"""Which invalidations are sent again to a Redis that may have forgotten them."""

from vwed_grpc.cache.delivered import Delivered


def test_what_old_values_have_outlived_is_not_deleted_again() -> None:
    delivered = Delivered(limit=10, lifetime=5)
    delivered.add(["a"], 1)
    delivered.add(["b"], 4)
    assert delivered.lately(5) == ["a", "b"]
    assert delivered.lately(6) == ["b"]
    assert delivered.lately(9) == []


def test_a_key_counts_from_its_last_deletion() -> None:
    delivered = Delivered(limit=10, lifetime=5)
    delivered.add(["a", "b"], 1)
    delivered.add(["a"], 4)
    assert delivered.lately(5) == ["b", "a"]
    assert delivered.lately(6) == ["a"]


def test_beyond_its_limit_the_oldest_are_forgotten() -> None:
    delivered = Delivered(limit=2, lifetime=5)
    delivered.add(["a", "b", "c"], 1)
    assert delivered.lately(2) == ["b", "c"]


def test_deletions_are_remembered_for_a_while_and_the_oldest_give_way() -> None:
    delivered = Delivered(limit=3, lifetime=60)
    delivered.add(["a", "b"], now=0)
    delivered.add(["c", "a"], now=10)
    assert delivered.lately(now=20) == ["b", "c", "a"]
    delivered.add(["d"], now=20)
    assert delivered.lately(now=20) == ["c", "a", "d"]
    assert delivered.lately(now=75) == ["d"]
