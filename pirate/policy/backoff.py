"""How long to wait before the next try, spread so that a thousand peers do not try as one."""

from random import Random

RENEWALS_PER_LEASE = 3


class Backoff:
    """Delays in seconds that double from ``first`` up to ``most``, each shortened by chance.

    The spread is "equal jitter": between half of the delay and all of it, so that the first
    try never comes at once and the last never later than ``most``.
    """

    def __init__(self, first: float, most: float, rng: Random) -> None:
        self._first = min(first, most)
        self._most = most
        self._rng = rng
        self._delay = self._first

    def next(self) -> float:
        """The delay before the next try."""
        delay = self._delay
        self._delay = min(2 * delay, self._most)
        return self._rng.uniform(delay / 2, delay)

    def reset(self) -> None:
        """A try succeeded: begin again with ``first``."""
        self._delay = self._first


def heartbeat_interval(ttl: float, rng: Random) -> float:
    """Seconds until the next heartbeat: at most a third of the lease's ``ttl``.

    So two heartbeats in a row may fail before the lease runs out. The fifth that chance
    takes off spreads those peers that were started, or found etcd again, together.
    """
    third = ttl / RENEWALS_PER_LEASE
    return rng.uniform(0.8 * third, third)
