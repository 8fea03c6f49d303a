"""What etcd has below a prefix, mirrored here and kept up to date by a watch."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Generic, TypeVar

from pirate.errors import RegistryError
from pirate.policy.backoff import Backoff
from pirate.registry.etcd_client import Stream
from pirate.scope import Scope

log = logging.getLogger(__name__)

T = TypeVar("T")

# A stream that breaks off is missed after half a second at the earliest: a thousand peers lose
# theirs at the same moment and all of them list anew. One that lasted is no sign of trouble.
FIRST_RETRY_SECONDS = 1.0
MOST_RETRY_SECONDS = 10.0
LASTING_SECONDS = 10.0

# However well a stream looks, it is not believed for longer. Where there are more peers than so
# many, it is in proportion: what all of them list grows with the square of their number, and 1,000
# take 1 MB a second from etcd.
TRUSTED_SECONDS = 300.0
TRUSTED_PEERS = 1_000


def trusted_seconds(count: int) -> float:
    """For how long a mirror of so many keys is believed at most."""
    return TRUSTED_SECONDS * max(1.0, count / TRUSTED_PEERS)


class Mirror(Generic[T]):
    """What ``read`` makes of each key with its value.

    ``changed`` is called, in a thread of this mirror, when there is something new in it, and
    when it does not mirror any more: then somebody has to list and ``follow`` again.
    """

    def __init__(
        self, read: Callable[[bytes, bytes], T], changed: Callable[[], None], limit: int
    ) -> None:
        """Beyond ``limit`` keys it gives up."""
        self._read = read
        self._changed = changed
        self._limit = limit
        self._lock = threading.Lock()  # guards the four below
        self._stream: Stream | None = None
        self._values: dict[bytes, T] = {}
        self._revision = 0
        self._until = 0.0
        self._backoff = Backoff(FIRST_RETRY_SECONDS, MOST_RETRY_SECONDS, random.SystemRandom())
        self._stack = ExitStack()
        self._scope = self._stack.enter_context(Scope())

    def follow(self, values: Mapping[bytes, T], revision: int, stream: Stream) -> None:
        """Begin with what was listed at ``revision``; ``stream`` tells what changes after it."""
        most = trusted_seconds(len(values))
        trusted = random.SystemRandom().uniform(most / 2, most)
        with self._lock:
            self._stream = stream
            self._values = dict(values)
            self._revision = revision
            self._until = time.monotonic() + trusted
        self._scope.spawn("etcd watch", partial(self._run, stream))

    def look(self) -> tuple[dict[bytes, T], int] | None:
        """What is in etcd, and as of which revision; None if that is not known."""
        with self._lock:
            if not self._stream or time.monotonic() > self._until:
                return None
            return dict(self._values), self._revision

    def close(self) -> None:
        """Stop mirroring."""
        self._stack.close()

    def _run(self, stream: Stream) -> None:
        """Apply what the stream tells until it ends; a thread's body."""
        began = time.monotonic()
        with self._scope.stop.waking(stream.cancel):
            try:
                for revision, changes in stream:
                    if changes and not self._apply(stream, revision, changes):
                        break
            except RegistryError as error:
                log.debug("%s", error)
        stream.cancel()
        with self._lock:
            if self._stream is not stream:
                return
            self._stream = None
        if time.monotonic() - began > LASTING_SECONDS:
            self._backoff.reset()
        if not self._scope.stop.wait(self._backoff.next()):
            self._changed()

    def _apply(
        self, stream: Stream, revision: int, changes: list[tuple[bytes, bytes | None]]
    ) -> bool:
        """Note ``changes``; False if this stream is to end, since another one is followed."""
        read = {key: None if value is None else self._read(key, value) for key, value in changes}
        with self._lock:
            if self._stream is not stream:
                return False
            for key, value in read.items():
                if value is None:
                    self._values.pop(key, None)
                else:
                    self._values[key] = value
            self._revision = revision
            fits = len(self._values) <= self._limit
        self._changed()
        return fits
