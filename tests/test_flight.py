import threading

import pytest

from pirate.flight import Flights
from pirate.scope import Scope

SECONDS = 20.0


class Slow:
    """A computation that goes on until the test lets it land."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls = 0
        self.under_way = threading.Event()
        self.land = threading.Event()
        self._error = error

    def __call__(self) -> int:
        self.calls += 1
        self.under_way.set()
        assert self.land.wait(SECONDS)
        if self._error:
            raise self._error
        return self.calls


def joined_by_many(
    flights: Flights[str, int], compute: Slow, count: int
) -> tuple[list[int], list[BaseException]]:
    """What each of ``count`` threads gets that ask while the first one computes."""
    values: list[int] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            values.append(flights.join("key", compute))
        except ValueError as error:
            errors.append(error)

    with Scope() as scope:
        scope.spawn("first", ask)
        assert compute.under_way.wait(SECONDS)
        landed = flights._under_way["key"].landed
        waiting = threading.Semaphore(0)
        wait = landed.wait

        def noted(timeout: float | None = None) -> bool:
            waiting.release()
            return wait(timeout)

        landed.wait = noted  # type: ignore[method-assign]  # to know when the others have come
        for number in range(count - 1):
            scope.spawn(f"other {number}", ask)
        for _ in range(count - 1):
            assert waiting.acquire(timeout=SECONDS)
        compute.land.set()
    return values, errors


def test_who_asks_meanwhile_shares_the_computation() -> None:
    compute = Slow()
    assert joined_by_many(Flights(), compute, 8) == ([1] * 8, [])
    assert compute.calls == 1


def test_who_asks_meanwhile_shares_the_failure() -> None:
    failure = ValueError("no")
    compute = Slow(failure)
    assert joined_by_many(Flights(), compute, 4) == ([], [failure] * 4)
    assert compute.calls == 1


def test_who_asks_later_computes_anew() -> None:
    flights: Flights[str, int] = Flights()
    numbers = iter(range(9))

    def count() -> int:
        return next(numbers)

    assert [flights.join("key", count), flights.join("key", count)] == [0, 1]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_is_not_remembered(error: type[BaseException]) -> None:
    flights: Flights[str, int] = Flights()

    def fail() -> int:
        raise error

    with pytest.raises(error):
        flights.join("key", fail)
    assert flights.join("key", lambda: 7) == 7
    assert not flights._under_way


def test_other_keys_do_not_wait() -> None:
    flights: Flights[str, int] = Flights()
    assert flights.join("key", lambda: flights.join("other", lambda: 1)) == 1


def test_nothing_is_a_value_too() -> None:
    flights: Flights[str, None] = Flights()
    assert flights.join("key", lambda: None) is None
