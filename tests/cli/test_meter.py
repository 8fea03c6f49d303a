"""The figures of progress, with a clock of the test."""

from dataclasses import dataclass

import pytest

from pirate.cli.meter import WINDOW_SECONDS, Meter
from pirate.model import Address, Peer

N1, N2 = (Peer((Address("127.0.0.1", port),), name=f"n{port}") for port in (1, 2))


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="meter")
def _meter(clock: Clock) -> Meter:
    meter = Meter(10.0, clock=clock)
    meter.start(10_000, 1000)
    return meter


def test_bytes_from_before_do_not_count_as_speed(meter: Meter, clock: Clock) -> None:
    clock.now = 2.0
    meter.progress(1500, 10_000)
    assert meter.rate == pytest.approx(250)
    assert meter.left == pytest.approx(34)


def test_the_speed_is_that_of_the_last_seconds(meter: Meter, clock: Clock) -> None:
    for second in range(1, 60):
        clock.now = second
        meter.progress(1000 + 100 * second, 10_000)
    for second in range(60, 70):
        clock.now = second
        meter.progress(6900 + 10 * (second - 59), 10_000)
    assert meter.rate == pytest.approx(10)


def test_a_pause_shows(meter: Meter, clock: Clock) -> None:
    clock.now = 1.0
    meter.progress(2000, 10_000)
    clock.now = 10.0
    assert meter.rate == pytest.approx(100)


def test_a_start_over_gives_no_negative_speed(meter: Meter, clock: Clock) -> None:
    clock.now = 1.0
    meter.progress(10, 2000)
    assert meter.rate == 0
    assert meter.left is None


def test_it_is_time_to_show_something_once_an_interval(meter: Meter, clock: Clock) -> None:
    shown = 0
    for tenth in range(1, 351):
        clock.now = tenth / 10
        shown += meter.progress(tenth, 10_000)
    assert shown == 3


def test_each_holder_has_its_own_speed_and_the_fastest_is_first(meter: Meter, clock: Clock) -> None:
    meter.added(N1)
    meter.added(N2)
    for second in range(1, 9):
        clock.now = second
        meter.gave(N1, 10)
        meter.gave(N2, 100)
    assert [(each.peer, round(each.rate), each.given) for each in meter.holders] == [
        (N2, 100, 800),
        (N1, 10, 80),
    ]
    meter.dropped(N2)
    meter.gave(N2, 100)
    assert [each.peer for each in meter.holders] == [N1]


def test_who_stops_giving_fades(meter: Meter, clock: Clock) -> None:
    meter.added(N1)
    clock.now = 1.0
    meter.gave(N1, 1000)
    clock.now = 1.0 + 10 * WINDOW_SECONDS
    assert meter.holders[0].rate < 20
