"""One computation per key, shared by all who ask for it meanwhile."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Flight(Generic[V]):
    def __init__(self) -> None:
        self.landed = threading.Event()
        self.value: V
        self.error: BaseException | None = None


class Flights(Generic[K, V]):
    """Computations under way, by key. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _under_way
        self._under_way: dict[K, _Flight[V]] = {}

    def join(self, key: K, compute: Callable[[], V]) -> V:
        """Give what ``compute`` returns, or raise what it raises.

        If ``key`` is being computed already, wait for that instead of computing it twice.
        """
        with self._lock:
            flight = self._under_way.get(key)
            if leads := flight is None:
                flight = self._under_way[key] = _Flight()
        if not leads:
            flight.landed.wait()
            if flight.error:
                raise flight.error
            return flight.value
        try:
            flight.value = compute()
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._under_way[key]
            flight.landed.set()
        return flight.value
