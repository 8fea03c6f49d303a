import threading
import time
from dataclasses import dataclass, field

import pytest
from honest import QUICK

from pirate.scope import Scope, Stop
from pirate.throttle import CREDIT_SECONDS, LEAST_PIECE, MOST_PIECE, Throttle


@dataclass
class Clock:
    """A clock that only waiting moves."""

    now: float = 100.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def test_the_rate_is_kept_in_the_long_run() -> None:
    clock = Clock()
    throttle = Throttle(1000.0, clock=clock)
    for _ in range(100):
        throttle.spend(100, clock)
    assert clock.now == pytest.approx(110.0)


def test_what_others_do_meanwhile_is_no_loss_up_to_the_credit() -> None:
    clock = Clock()
    throttle = Throttle(1000.0, clock=clock)
    for _ in range(100):
        throttle.spend(100, clock)
        clock.now += CREDIT_SECONDS / 2
    assert clock.now == pytest.approx(110.0, abs=0.1)


def test_idling_saves_up_no_more_than_the_credit() -> None:
    clock = Clock()
    throttle = Throttle(1000.0, clock=clock)
    clock.now += 1000.0
    throttle.spend(1000, clock)
    assert clock.waits == [pytest.approx(1.0 - CREDIT_SECONDS)]


def test_all_who_spend_share_one_rate_in_the_order_they_come() -> None:
    clock = Clock()
    waits: list[float] = []

    class Noting:
        def wait(self, seconds: float) -> None:
            waits.append(seconds)

    throttle = Throttle(1000.0, clock=clock)
    for _ in range(3):
        throttle.spend(500, Noting())
    assert waits == [pytest.approx(each) for each in (0.5, 1.0, 1.5)]


def test_a_stop_ends_the_wait() -> None:
    stop = Stop()
    ended = threading.Event()

    def spend() -> None:
        Throttle(1.0).spend(1000, stop)
        ended.set()

    with Scope() as scope:
        scope.spawn("spends", spend)
        assert not ended.wait(0.05)
        stop.set()
        assert ended.wait(20.0)


@pytest.mark.parametrize(
    ("rate", "piece"),
    [(64 * 1024, LEAST_PIECE), (1024 * 1024, 64 * 1024), (2.0**40, MOST_PIECE)],
)
def test_pieces_are_small_where_the_rate_is(rate: float, piece: int) -> None:
    assert Throttle(rate).piece == piece


def test_by_a_real_clock_it_keeps_to_the_rate_too() -> None:
    throttle, stop = Throttle(10_000_000.0), Stop()
    began = time.monotonic()
    for _ in range(100):
        throttle.spend(100_000, stop)
    assert 0.9 < time.monotonic() - began < QUICK
