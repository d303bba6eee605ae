"""The circuit breaker, and the invalidations that wait behind it."""

import pytest

from vwed_grpc.cache.breaker import NEXT, Breaker, BreakerState
from vwed_grpc.cache.undelivered import Undelivered

PATHS = {
    BreakerState.OPEN: [],
    BreakerState.HALF_OPEN: [BreakerState.HALF_OPEN],
    BreakerState.CLOSED: [BreakerState.HALF_OPEN, BreakerState.CLOSED],
}


@pytest.mark.parametrize("old", BreakerState)
@pytest.mark.parametrize("new", BreakerState)
def test_it_only_goes_the_ways_of_the_table(old: BreakerState, new: BreakerState) -> None:
    breaker = Breaker()
    for state in PATHS[old]:
        breaker.to(state, 0)
    if new in NEXT[old]:
        breaker.to(new, 0)
        assert breaker.state is new
    else:
        with pytest.raises(ValueError, match="does not go"):
            breaker.to(new, 0)


def close(breaker: Breaker, now: float) -> None:
    breaker.to(BreakerState.HALF_OPEN, now)
    breaker.to(BreakerState.CLOSED, now)


def test_the_pause_grows_until_redis_was_steady_for_a_while() -> None:
    breaker = Breaker()
    for _ in range(10):
        breaker.tried()
    assert breaker.pause == Breaker.LONGEST
    close(breaker, 100)
    breaker.to(BreakerState.OPEN, 101)
    assert breaker.pause == Breaker.LONGEST
    breaker.to(BreakerState.HALF_OPEN, 102)  # what it holds is not believed at once
    breaker.to(BreakerState.CLOSED, 160)
    breaker.to(BreakerState.OPEN, 161)
    assert breaker.pause == Breaker.LONGEST
    close(breaker, 162)
    breaker.to(BreakerState.OPEN, 170)
    assert breaker.pause == Breaker.SHORTEST


def test_keys_are_kept_once_and_handed_out_in_pieces() -> None:
    kept = Undelivered(limit=10, lifetime=62)
    kept.add(["a", "b", "a", "c"], now=1)
    taken = kept.take(2)
    assert (len(taken), len(kept)) == (2, 1)
    kept.restore(taken)
    assert kept.take(10) == dict.fromkeys("abc", 1)
    assert (len(kept), kept.trusted_from) == (0, 0)


def test_a_key_written_again_meanwhile_stays_the_younger() -> None:
    kept = Undelivered(limit=10, lifetime=62)
    kept.add(["a"], now=1)
    taken = kept.take(1)
    kept.add(["a"], now=2)
    kept.restore(taken)
    assert kept.take(1) == {"a": 2}


def test_what_does_not_fit_costs_trust_for_its_lifetime() -> None:
    kept = Undelivered(limit=2, lifetime=62)
    kept.add(["a"], now=1)
    kept.add(["b"], now=5)
    kept.add(["a"], now=7)
    assert kept.trusted_from == 0
    kept.add(["c"], now=9)
    assert (set(kept.take(9)), kept.trusted_from) == ({"a", "c"}, 67)
