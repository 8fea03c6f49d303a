"""Threads that cannot leak: a Stop that wakes whoever waits, a Scope that joins them all."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

# 500 threads with the usual 8 MiB stacks reserve 4 GiB of address space; ours are shallow.
STACK_BYTES = 512 * 1024

JOIN_SECONDS = 10.0


class Stop:
    """A flag that, when set, also wakes those who are blocked in something else."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()  # guards _wakers
        self._wakers: dict[object, Callable[[], None]] = {}

    @property
    def is_set(self) -> bool:
        """Whether it is time to end."""
        return self._event.is_set()

    def set(self) -> None:
        """End it, from any thread. Wakers run in this thread, each at least once."""
        self._event.set()
        with self._lock:
            wakers = list(self._wakers.values())
        for waker in wakers:
            waker()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until set or until ``seconds`` are over; True if set."""
        return self._event.wait(seconds)

    @contextmanager
    def waking(self, waker: Callable[[], None]) -> Iterator[None]:
        """Call ``waker`` if this is set while the block runs, or was before.

        A waker returns at once and may be called again, even just after the block.
        """
        token = object()
        with self._lock:
            self._wakers[token] = waker
        try:
            if self.is_set:
                waker()
            yield
        finally:
            with self._lock:
                del self._wakers[token]


class StuckError(RuntimeError):
    """Threads did not end in time after they were stopped."""


class Scope:
    """The only way to start a thread: leaving its block stops, wakes and joins them all.

    A thread that raises stops its siblings, and leaving the block raises an
    ``ExceptionGroup`` of what they raised.
    """

    def __init__(self, parent: Stop | None = None, *, grace: float = JOIN_SECONDS) -> None:
        """A scope with a ``parent`` is stopped with it; threads end within ``grace`` seconds."""
        self.stop = Stop()
        self._grace = grace
        self._parent = parent.waking(self.stop.set) if parent else None
        self._lock = threading.Lock()  # guards _threads and _errors
        self._threads: list[threading.Thread] = []  # noqa: TID251 - a type, not a start
        self._errors: list[Exception] = []

    def __enter__(self) -> Self:
        if self._parent:
            self._parent.__enter__()
        return self

    def spawn(self, name: str, target: Callable[[], None]) -> None:
        """Run ``target`` in a thread of this scope; it ends soon after ``stop`` is set."""
        thread = threading.Thread(  # noqa: TID251 - this is the one place
            target=self._run, args=(target,), name=name
        )
        with self._lock:
            self._threads = [other for other in self._threads if other.is_alive()]
            # The stack size is the process's: set it once here rather than at import.
            if threading.stack_size() != STACK_BYTES:
                threading.stack_size(STACK_BYTES)
            thread.start()
            self._threads.append(thread)

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        except Exception as error:
            log.debug("thread %s failed", threading.current_thread().name, exc_info=True)
            with self._lock:
                self._errors.append(error)
            self.stop.set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop.set()
            self._join(self._grace)
        finally:
            if self._parent:
                self._parent.__exit__(kind, error, traceback)
        # An interrupt is not hidden by what threads raise because it stopped them.
        if self._errors and not isinstance(error, KeyboardInterrupt | SystemExit):
            raise ExceptionGroup("threads failed", self._errors) from error

    def _join(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                alive = [thread for thread in self._threads if thread.is_alive()]
            if not alive:
                return
            alive[0].join(max(0.0, end - time.monotonic()))
            if time.monotonic() >= end:
                names = ", ".join(thread.name for thread in alive if thread.is_alive())
                if names:
                    raise StuckError(f"still running {seconds:g} s after the stop: {names}")
