"""One try to reach a peer at several addresses, and what becomes of each of them."""

import contextlib
import logging
import socket

from pirate.deadline import Deadline
from pirate.errors import LostError, PeerError, RefusedError, StalledError, UnreachableError
from pirate.model import PeerId
from pirate.net.channel import Channel
from pirate.net.connect import Race, Runner
from pirate.net.conversation import HELLO_SECONDS, Conversation, hear
from pirate.net.targets import Targets
from pirate.net.ways import Way
from pirate.policy.shun import Outcome
from pirate.scope import Stop
from pirate.wire.messages import Hello

log = logging.getLogger(__name__)

_End = tuple[Outcome, PeerId | None]


class Reach:
    """One try of the ways that we have claimed, and what becomes of each."""

    def __init__(
        self, hello: Hello, patience: tuple[float, float], deadline: Deadline, stop: Stop
    ) -> None:
        """``patience``: seconds for connecting, and for anything else."""
        self.wrong: list[tuple[Way, str]] = []
        self._hello = hello
        self._connect, self._stall = patience
        self._deadline = deadline
        self._stop = stop
        self._runners: dict[Way, list[Runner]] = {}
        self._ended: dict[Way, _End] = {}
        self._problem: PeerError = UnreachableError("does not answer in time")

    def peer(self, ways: list[Way], targets: Targets) -> Conversation:
        """The first that is the peer who is wanted; the most telling PeerError if none is."""
        try:
            for way in ways:
                self._runners[way] = self._line_up(way, targets)
            runners = [runner for way in ways for runner in self._runners[way]]
            of = {runner: way for way in ways for runner in self._runners[way]}
            hello = min(HELLO_SECONDS, self._stall)
            race = Race(self._connect, hello, self._deadline, self._stop)
            with contextlib.closing(race.run(runners)) as finishers:
                for runner, failure in finishers:
                    try:
                        return self._meet(of[runner], runner, failure)
                    except PeerError as error:
                        log.debug("%s: %s", runner.target, error)
                        self._problem = telling(self._problem, error)
            raise self._end(runners)
        finally:
            for way in ways:
                self._release(way, targets)

    def _end(self, runners: list[Runner]) -> PeerError:
        """Why nobody was reached."""
        if self._stop.is_set:
            return LostError("stopped while it was dialled")
        if any(runner.sock and runner.connected for runner in runners):
            return telling(self._problem, StalledError("does not introduce itself in time"))
        return self._problem

    def _line_up(self, way: Way, targets: Targets) -> list[Runner]:
        """What the target resolves to, in order."""
        if way.wanted and (half := targets.half(way.target)):
            return [half]
        try:
            found = socket.getaddrinfo(*way.target, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # UnicodeError: not even the form of a name
            unknown = UnreachableError(f"{way.target.host!r} is not a known host")
            self._problem = telling(self._problem, unknown)
            return []
        return [Runner(way.target, family, where) for family, _, _, _, where in found]

    def _meet(self, way: Way, runner: Runner, failure: OSError | None) -> Conversation:
        """Hear who is there, and introduce ourselves if it is who is wanted."""
        if failure and not runner.connected:
            self._ended[way] = Outcome.DEAD, None
            raise UnreachableError(_reason(failure)) from failure
        channel = Channel(runner.take(), stall=self._stall) if runner.sock else None
        try:
            if not channel:
                raise StalledError("does not introduce itself")  # noqa: TRY301
            with self._stop.waking(channel.abort):
                theirs = hear(channel, self._deadline)
                self._ended[way] = Outcome.PIRATE, theirs.peer
                if way.wanted not in (None, theirs.peer):
                    self.wrong.append((way, f"{theirs.peer} is there"))
                    raise UnreachableError("another peer is there")  # noqa: TRY301
                return Conversation.introduce(channel, theirs, self._hello)
        except BaseException as error:
            if channel:
                channel.close()
            if not (channel and self._stop.is_set):  # else it may be the stop that ended it
                self._judge(way, error)
            raise

    def _judge(self, way: Way, error: BaseException) -> None:
        """Remember who did not introduce itself; a peer that refuses us has."""
        if way in self._ended or not isinstance(error, PeerError):
            return
        if isinstance(error, RefusedError):
            self._ended[way] = Outcome.PIRATE, None
        else:
            self._ended[way] = Outcome.STRANGE, None
            self.wrong.append((way, f"no pirate is there: {error}"))

    def _release(self, way: Way, targets: Targets) -> None:
        runners = self._runners.get(way, [])
        half = None
        if way in self._ended:
            outcome, met = self._ended[way]
        else:
            begun = any(runner.began for runner in runners)
            outcome, met = Outcome.UNKNOWN if begun else Outcome.UNTRIED, None
            if way.wanted and begun and runners[0].sock:
                half = runners.pop(0)
        for runner in runners:
            runner.close()
        targets.release(way, outcome, met, half)


def telling(one: PeerError, other: PeerError) -> PeerError:
    """Which of two tells more: a refusal, an odd answer, no answer; else the later."""

    def rank(error: PeerError) -> int:
        return 2 if isinstance(error, RefusedError) else type(error) is not UnreachableError

    return one if rank(one) > rank(other) else other


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "does not answer"
    return (error.strerror or str(error)).lower()
