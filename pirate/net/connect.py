"""Several ways to one peer at once: the first that is spoken to from the other side wins.

"Happy eyeballs" (RFC 8305) with one more step: since a server speaks first, an address has not
won when it takes the connection but when something comes. Where nothing does costs the others
no time, and nobody who waits for us to speak hears anything.
"""

import contextlib
import os
import select
import selectors
import socket
import time
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from pirate.deadline import Deadline
from pirate.model import Address
from pirate.policy.shun import Outcome
from pirate.scope import Stop

# How long an address may be silent before the next one is tried beside it.
STAGGER_SECONDS = 0.25

_NEVER = Deadline.within(None)


@dataclass(eq=False, slots=True)
class Runner:
    """One socket address of ``target``, and the connection to it while there is one."""

    target: Address
    family: int
    where: tuple[Any, ...]
    sock: socket.socket | None = None
    connected: bool = False
    began: float = 0.0
    patience: Deadline = field(default=_NEVER)

    @property
    def age(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self.began

    def start(self, seconds: float) -> OSError | None:
        """Begin to connect, or go on where it was left; why that is not possible, if so."""
        if self.sock:
            return None
        self.began = time.monotonic()
        self.patience = Deadline(seconds)
        try:
            self.sock = socket.socket(self.family, socket.SOCK_STREAM)
            self.sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self.sock.connect(self.where)
        except OSError as error:
            self.close()
            return error
        return None

    def take(self) -> socket.socket:
        """The connection, which is the caller's from now on."""
        sock, self.sock = self.sock, None
        if sock is None:
            raise ValueError("there is none")
        return sock

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.sock:
            self.take().close()

    @property
    def awaits(self) -> int:
        """What a selector shall look for."""
        return selectors.EVENT_READ if self.connected else selectors.EVENT_WRITE

    def error(self) -> OSError | None:
        """Why it could not connect."""
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if self.sock else 0
        return OSError(number, os.strerror(number)) if number else None

    def outcome(self) -> Outcome:
        """What can be said of a connection that nobody has waited for to the end."""
        if not self.sock:
            return Outcome.UNTRIED if self.began == 0.0 else Outcome.UNKNOWN
        now = select.poll()
        now.register(self.sock, select.POLLIN | select.POLLOUT)
        events = dict(now.poll(0)).get(self.sock.fileno(), 0)
        if not events or self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return Outcome.DEAD
        try:
            spoke = events & select.POLLIN and self.sock.recv(1, socket.MSG_PEEK)
        except OSError:
            spoke = b""
        return Outcome.UNKNOWN if spoke else Outcome.STRANGE


Finish = tuple[Runner, OSError | None]


class Race:
    """Several runners, each of which starts when the one before has failed or is slow."""

    def __init__(self, connect: float, hello: float, deadline: Deadline, stop: Stop) -> None:
        """``connect`` and ``hello``: the seconds that one may take to connect, then to speak.

        It ends early at the deadline and the stop.
        """
        self._connect = connect
        self._hello = hello
        self._deadline = deadline
        self._stop = stop
        self._running: list[Runner] = []
        self._turn = Deadline(0)  # when the next may start

    def run(self, runners: Iterable[Runner]) -> Generator[Finish, None, None]:
        """Yield each runner that something has come for, or that has failed, with its error.

        Connections that are not taken stay with their runners, those under way too: to be
        closed, or to run again.
        """
        waiting = deque(runners)
        bell, rope = socket.socketpair()
        rope.setblocking(False)

        def ring() -> None:
            with contextlib.suppress(OSError):
                rope.send(b"\0")

        with bell, rope, selectors.DefaultSelector() as self._selector, self._stop.waking(ring):
            self._selector.register(bell, selectors.EVENT_READ)
            while waiting or self._running:
                if self._stop.is_set or self._deadline.passed:
                    return
                if waiting and (self._turn.passed or not self._running):
                    yield from self._start(waiting.popleft())
                else:
                    yield from self._wait(more=bool(waiting))

    def _start(self, runner: Runner) -> Generator[Finish, None, None]:
        error = runner.start(self._connect)
        if error or not runner.sock:
            yield runner, error
            return
        self._turn = Deadline(STAGGER_SECONDS)
        self._running.append(runner)
        self._selector.register(runner.sock, runner.awaits, runner)

    def _wait(self, *, more: bool) -> Generator[Finish, None, None]:
        dues = [self._deadline.left, *(runner.patience.left for runner in self._running)]
        if more:
            dues.append(self._turn.left)
        ready = [key.data for key, _ in self._selector.select(min(dues)) if key.data]
        for runner in ready:
            if runner.connected:
                yield self._leave(runner, None)
            elif error := runner.error():
                yield self._leave(runner, error)
            else:
                runner.connected = True
                runner.patience = Deadline(self._hello)
                self._selector.modify(runner.sock, runner.awaits, runner)
        for runner in [runner for runner in self._running if runner.patience.passed]:
            yield self._leave(runner, TimeoutError())

    def _leave(self, runner: Runner, error: OSError | None) -> Finish:
        self._running.remove(runner)
        if runner.sock:
            self._selector.unregister(runner.sock)
        if error:
            self._turn = Deadline(0)
            runner.close()
        return runner, error
