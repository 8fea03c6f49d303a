"""Reach a peer: connect, exchange hellos, and keep idle connections to be used again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pirate.deadline import Clock, Deadline
from pirate.errors import PeerError, RefusedError, UnreachableError
from pirate.model import Address, Peer, PeerId
from pirate.net.conversation import Conversation
from pirate.net.reach import Reach, telling
from pirate.net.targets import Targets
from pirate.net.ways import Ways
from pirate.policy.shun import Verdict
from pirate.scope import Stop
from pirate.wire.messages import Hello

CONNECT_SECONDS = 3.0
STALL_SECONDS = 10.0

# A server closes what was idle for 60 s; we let go well before it does.
KEEP_SECONDS = 30.0
KEEP_PER_PEER = 4

# Altogether: a process may have but 1,024 descriptors, and who asks 10,000 peers met them all.
KEEP = 256

# Whose an idle connection is. The id of a peer that the user named is not known before its
# HELLO, so that its address alone has to do.
_Key = tuple[tuple[Address, ...], PeerId | None]


def _key(peer: Peer) -> _Key:
    return peer.addresses, peer.announcement.id if peer.announcement else None


class Dialer:
    """Opens conversations, and keeps the idle ones. Safe to use from any thread."""

    def __init__(  # noqa: PLR0913 - a number, and a clock for tests, on top of what matters
        self,
        hello: Hello,
        *,
        connect: float = CONNECT_SECONDS,
        stall: float = STALL_SECONDS,
        ways: Ways | None = None,
        keep: int = KEEP,
        clock: Clock = time.monotonic,
    ) -> None:
        """``hello`` introduces us, and may be replaced; ``connect`` and ``stall`` are in seconds.

        ``ways`` knows which addresses are ours to dial; ``keep`` idle connections at most.
        """
        self.hello = hello
        self._connect = connect
        self._stall = stall
        self._keep_most = keep
        self._clock = clock
        self._ways = ways or Ways()
        self._targets = Targets(clock)
        self._lock = threading.Lock()  # guards the two below
        self._idle: dict[_Key, list[tuple[float, Conversation]]] = {}
        self._count = 0

    @contextmanager
    def talk(self, peer: Peer, deadline: Deadline, stop: Stop) -> Iterator[Conversation]:
        """A conversation with ``peer``, for the one thread that asked; ``stop`` breaks it off.

        It is kept afterwards unless it broke: anything but a RefusedError closes it.
        Raises PeerError if the peer cannot be reached.
        """
        conversation = self._kept(peer) or self._open(peer, deadline, stop)
        fit = False
        try:
            with stop.waking(conversation.channel.abort):
                yield conversation
            fit = True
        except RefusedError:
            fit = True
            raise
        finally:
            if fit and conversation.idle and not stop.is_set:
                self._keep(peer, conversation)
            else:
                conversation.channel.close()

    def close(self) -> None:
        """Close every idle connection."""
        self._targets.close()
        with self._lock:
            idle, self._idle, self._count = self._idle, {}, 0
        for _, conversation in (kept for several in idle.values() for kept in several):
            conversation.channel.close()

    def _kept(self, peer: Peer) -> Conversation | None:
        while True:
            with self._lock:
                if _key(peer) not in self._idle:
                    return None
                since, conversation = self._take(_key(peer), -1)
            if self._clock() - since < KEEP_SECONDS and conversation.channel.quiet:
                return conversation
            conversation.channel.close()

    def _keep(self, peer: Peer, conversation: Conversation) -> None:
        surplus: Conversation | None = conversation
        with self._lock:
            several = self._idle.setdefault(_key(peer), [])
            if len(several) < KEEP_PER_PEER:
                several.append((self._clock(), conversation))
                self._count += 1
                # Of whom we have met first; those who matter are met again and again.
                full = self._count > self._keep_most
                surplus = self._take(next(iter(self._idle)), 0)[1] if full else None
        if surplus:
            surplus.channel.close()

    def _take(self, key: _Key, place: int) -> tuple[float, Conversation]:
        """Take one of a peer's; a peer without any is not kept in mind. Under the lock."""
        several = self._idle[key]
        taken = several.pop(place)
        self._count -= 1
        if not several:
            del self._idle[key]
        return taken

    def _open(self, peer: Peer, deadline: Deadline, stop: Stop) -> Conversation:
        """Dial where the peer is said to be, as far as that is ours to dial."""
        if peer.id == self.hello.peer:
            raise UnreachableError("is ourselves")
        ways = self._ways.of(peer)
        problem: PeerError = UnreachableError("has no address that is ours to dial")
        while ways and not isinstance(problem, RefusedError):
            now, ways, never = self._targets.claim(ways, deadline, stop)
            problem = telling(problem, UnreachableError("does not answer in time"))
            for way, verdict in never:
                problem = telling(problem, UnreachableError(verdict.value))
                if verdict is not Verdict.DEAD:
                    self._ways.tell(peer, way.target, f"it {verdict.value}")
            if not now:
                break
            reach = Reach(self.hello, (self._connect, self._stall), deadline, stop)
            try:
                return reach.peer(now, self._targets)
            except PeerError as error:
                problem = telling(problem, error)
            finally:
                for way, what in reach.wrong:
                    self._ways.tell(peer, way.target, what)
        raise problem
