import random

from hypothesis import given
from hypothesis import strategies as st

from pirate.policy.backoff import Backoff, heartbeat_interval

seconds = st.floats(0.001, 1000)


class Latest(random.Random):
    """Chance that always takes the upper end."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002
        return b


def test_delays_double_up_to_the_most() -> None:
    backoff = Backoff(0.2, 1.0, Latest())
    assert [backoff.next() for _ in range(5)] == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_reset_begins_again_with_the_first_delay() -> None:
    backoff = Backoff(0.2, 1.0, Latest())
    backoff.next()
    backoff.reset()
    assert backoff.next() == 0.2


def test_two_peers_do_not_wait_alike() -> None:
    ours, theirs = (Backoff(0.2, 5.0, random.Random(seed)) for seed in (1, 2))
    assert [ours.next() for _ in range(5)] != [theirs.next() for _ in range(5)]


@given(first=seconds, most=seconds, seed=st.integers())
def test_no_delay_is_longer_than_the_most_or_shorter_than_half_the_first(
    first: float, most: float, seed: int
) -> None:
    backoff = Backoff(first, most, random.Random(seed))
    delays = [backoff.next() for _ in range(20)]
    assert all(min(first, most) / 2 <= delay <= most for delay in delays)


@given(ttl=seconds, seed=st.integers())
def test_three_heartbeats_fit_into_a_lease(ttl: float, seed: int) -> None:
    interval = heartbeat_interval(ttl, random.Random(seed))
    assert ttl / 5 < interval <= ttl / 3
