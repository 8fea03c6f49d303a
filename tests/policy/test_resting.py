import pytest

from pirate.policy.resting import LONGEST_SECONDS, REST_SECONDS, Resting

A_BIT = 0.01


@pytest.fixture(name="resting")
def _resting() -> Resting[str]:
    return Resting()


def test_nothing_is_due_where_nothing_changes(resting: Resting[str]) -> None:
    assert resting.due() is None
    assert resting.rested(1e9) == []


def test_a_change_is_given_out_once_when_it_has_rested(resting: Resting[str]) -> None:
    resting.touch("a", 0.0)
    assert resting.due() == REST_SECONDS
    assert resting.rested(REST_SECONDS - A_BIT) == []
    assert resting.rested(REST_SECONDS) == ["a"]
    assert resting.rested(1e9) == []
    assert resting.due() is None


def test_who_does_not_rest_keeps_nobody_else_waiting(resting: Resting[str]) -> None:
    resting.touch("busy", 0.0)
    resting.touch("calm", 0.0)
    for step in range(100):
        resting.touch("busy", step * 0.1)
        assert resting.rested(step * 0.1) == (["calm"] if step == 3 else [])
    assert resting.rested(99 * 0.1 + REST_SECONDS) == ["busy"]


def test_a_file_that_is_written_with_pauses_is_given_out_ever_more_seldom(
    resting: Resting[str],
) -> None:
    given = []
    for second in range(600):
        resting.touch("log", float(second), writing=True)
        given += resting.rested(second + 1 - A_BIT)
    assert len(given) < 5  # it rests 0.3 s and 0.6 s, and then never for long enough
    resting.touch("log", 600.0)  # closed
    assert resting.rested(600.0 + REST_SECONDS) == ["log"]


def test_no_rest_is_longer_than_the_longest(resting: Resting[str]) -> None:
    now = 0.0
    for _ in range(20):
        resting.touch("log", now, writing=True)
        now += LONGEST_SECONDS
        assert resting.rested(now) == ["log"]


def test_the_end_of_writing_makes_a_long_rest_short(resting: Resting[str]) -> None:
    for now in (0.0, 100.0, 200.0, 300.0):
        resting.touch("log", now, writing=True)
        assert resting.rested(now + LONGEST_SECONDS) == ["log"]
    resting.touch("log", 400.0, writing=True)
    assert resting.rested(400.0 + REST_SECONDS) == []
    resting.touch("log", 400.0 + REST_SECONDS)
    assert resting.rested(400.0 + 2 * REST_SECONDS) == ["log"]
    assert resting.rested(1e9) == []


def test_a_million_touches_of_one_thing_are_one_entry(resting: Resting[str]) -> None:
    for step in range(1_000):
        resting.touch("a", step * 0.001)
    assert len(resting._heap) == 1
