"""Whom not to dial: what a target was like before, and how soon it may be tried again.

Anybody who can write into a registry can send every peer to any address. So a target is dialled
once at a time; one that answers and is no pirate is left alone for minutes, one that is dead for
seconds; and of one host only some ports are tried before one of them is a pirate's.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from pirate.model import DEFAULT_PORT, Address, PeerId

# A peer that restarts has to be found again soon.
FIRST_DEAD_SECONDS = 0.25
MOST_DEAD_SECONDS = 4.0

# One that was a pirate may be one again; one that never was is no use to ask again soon.
FIRST_STRANGE_SECONDS = 1.0
MOST_STRANGE_SECONDS = 300.0

# Targets of one host that are tried, or were, and have not proved to be pirates. The usual port
# is not among them, so that a host's own peer is found whatever others say of the host.
MOST_DOUBTFUL = 8

# Hosts that are remembered before those are forgotten of which nothing matters any more.
MOST_HOSTS = 10_000


class Verdict(enum.Enum):
    """What to do about a target; beside GO and WAIT each says why it is not dialled."""

    GO = "may be dialled"
    WAIT = "is being dialled"
    DEAD = "did not answer a moment ago"
    STRANGE = "did not answer as a pirate a while ago"
    OTHER = "is where another peer is"
    CROWDED = "is at a host with too many addresses that are no pirate's"


class Outcome(enum.Enum):
    """How a dial ended. UNTRIED is one that was not begun, UNKNOWN one that was not ended."""

    UNTRIED = enum.auto()
    UNKNOWN = enum.auto()
    DEAD = enum.auto()
    STRANGE = enum.auto()
    PIRATE = enum.auto()


@dataclass(slots=True)
class _Target:
    """What is known of one; ``verdict`` holds ``until`` then, and counts ``failures`` in a row."""

    busy: bool = False
    proven: bool = False
    peer: PeerId | None = None
    verdict: Verdict = Verdict.GO
    until: float = 0.0
    failures: int = 0
    forget: float = 0.0


class Shun:
    """What became of the dials so far. Not safe to use from several threads at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` is in seconds."""
        self._clock = clock
        self._hosts: dict[str, dict[int, _Target]] = {}

    def busy(self, target: Address) -> bool:
        """Whether it is being dialled."""
        known = self._hosts.get(target.host, {}).get(target.port)
        return known is not None and known.busy

    def judge(self, target: Address, wanted: PeerId) -> Verdict:
        """Whether to dial ``target``, where ``wanted`` is said to be."""
        now = self._clock()
        known = self._hosts.get(target.host, {}).get(target.port)
        if known is None:
            return self._room(target, now)
        if known.busy:
            return Verdict.WAIT
        if known.verdict is Verdict.OTHER and known.peer == wanted:
            return Verdict.GO
        return known.verdict if now < known.until else Verdict.GO

    def begin(self, target: Address) -> None:
        """Note that it is being dialled, until ``end``."""
        if len(self._hosts) >= MOST_HOSTS and target.host not in self._hosts:
            for host in list(self._hosts):
                self._forget(host, self._clock())
        self._hosts.setdefault(target.host, {}).setdefault(target.port, _Target()).busy = True

    def end(
        self,
        target: Address,
        outcome: Outcome,
        *,
        met: PeerId | None = None,
        wanted: PeerId | None = None,
    ) -> None:
        """Note how it ended: ``met`` is who is there, if it said so; ``wanted`` who should be."""
        known = self._hosts[target.host][target.port]
        known.busy = False
        if outcome is Outcome.UNTRIED:
            if known.forget == 0.0:
                del self._hosts[target.host][target.port]
            return
        now = self._clock()
        known.forget = now + MOST_STRANGE_SECONDS
        match outcome:
            case Outcome.PIRATE:
                _met(known, met, wanted, now)
            case Outcome.DEAD:
                first, most = FIRST_DEAD_SECONDS, MOST_DEAD_SECONDS
                _failed(known, Verdict.DEAD, now, first, most)
            case Outcome.STRANGE:
                most = MOST_STRANGE_SECONDS
                first = FIRST_STRANGE_SECONDS if known.proven else most
                _failed(known, Verdict.STRANGE, now, first, most)

    def _room(self, target: Address, now: float) -> Verdict:
        self._forget(target.host, now)
        if target.port == DEFAULT_PORT:
            return Verdict.GO
        doubtful = [
            known for known in self._hosts.get(target.host, {}).values() if not known.proven
        ]
        if len(doubtful) < MOST_DOUBTFUL:
            return Verdict.GO
        return Verdict.WAIT if any(known.busy for known in doubtful) else Verdict.CROWDED

    def _forget(self, host: str, now: float) -> None:
        """Drop what was tried long ago, so that a host gets another chance."""
        ports = self._hosts.get(host, {})
        for port in [port for port, known in ports.items() if not known.busy]:
            if ports[port].forget <= now:
                del ports[port]
        if not ports:
            self._hosts.pop(host, None)


def _failed(known: _Target, verdict: Verdict, now: float, first: float, most: float) -> None:
    if known.verdict is not verdict:
        known.failures = 0
    known.verdict = verdict
    known.until = now + min(first * 2**known.failures, most)
    known.failures = min(known.failures + 1, 20)


def _met(known: _Target, met: PeerId | None, wanted: PeerId | None, now: float) -> None:
    """Note a pirate; one that is not ``wanted`` keeps its place from all others for a while."""
    known.proven = True
    if met is None:  # it has no room for us, and did not say who it is
        known.verdict = Verdict.GO
        return
    if met != known.peer:
        known.verdict = Verdict.GO
        known.peer = met
    if wanted not in (None, met):
        _failed(known, Verdict.OTHER, now, FIRST_STRANGE_SECONDS, MOST_STRANGE_SECONDS)
    elif known.verdict is not Verdict.OTHER:
        known.verdict = Verdict.GO
