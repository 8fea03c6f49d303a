import math

import pytest

from pirate.deadline import Deadline, Pace


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


def test_a_deadline_comes_once_through_many_steps(clock: Clock) -> None:
    deadline = Deadline(5, clock=clock)
    for left in (5, 3, 1):
        assert (deadline.left, deadline.passed) == (left, False)
        clock.now += 2
    assert (deadline.left, deadline.passed) == (0, True)


def test_a_deadline_is_passed_at_its_very_moment(clock: Clock) -> None:
    deadline = Deadline(5, clock=clock)
    clock.now += 5
    assert deadline.passed


def test_a_deadline_of_no_seconds_has_passed(clock: Clock) -> None:
    assert Deadline(0, clock=clock).passed
    assert Deadline(-1, clock=clock).left == 0


def test_a_deadline_within_no_stated_time_does_not_come() -> None:
    assert Deadline.within(None).left == math.inf
    assert not Deadline.within(None).passed
    assert 0 < Deadline.within(5).left <= 5


@pytest.mark.parametrize(("seconds", "left"), [(3, 3), (9, 5), (math.inf, 5)])
def test_a_step_gets_its_own_time_but_no_more_than_is_left(
    clock: Clock, seconds: float, left: float
) -> None:
    assert Deadline(5, clock=clock).at_most(seconds).left == left


def test_a_step_keeps_the_clock_of_the_whole(clock: Clock) -> None:
    step = Deadline(math.inf, clock=clock).at_most(3)
    clock.now += 2
    assert step.left == 1


@pytest.fixture(name="pace")
def _pace(clock: Clock) -> Pace:
    return Pace(100, 10, clock=clock)


def test_a_pace_is_kept_by_the_least_in_every_window(clock: Clock, pace: Pace) -> None:
    for _ in range(5):
        clock.now += 9
        assert pace.kept(50)
        assert pace.kept(50)


def test_a_pace_is_lost_when_a_window_closes_on_too_little(clock: Clock, pace: Pace) -> None:
    clock.now += 9
    assert pace.kept(99)
    clock.now += 1
    assert not pace.kept(0)


def test_a_byte_now_and_then_does_not_keep_a_pace(clock: Clock, pace: Pace) -> None:
    kept = []
    for _ in range(12):
        clock.now += 1
        kept.append(pace.kept(1))
    assert kept == [True] * 9 + [False] * 3


def test_enough_at_once_makes_up_for_a_window_that_nobody_looked_at(
    clock: Clock, pace: Pace
) -> None:
    clock.now += 15
    assert pace.kept(100)
    clock.now += 9
    assert pace.kept(0)


def test_haste_is_not_saved_up_for_later(clock: Clock, pace: Pace) -> None:
    assert pace.kept(1_000_000)
    clock.now += 10
    assert not pace.kept(99)
