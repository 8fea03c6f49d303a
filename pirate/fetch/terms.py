"""What the parts of a download share: its terms, who watches it, and what it has cost."""

from dataclasses import dataclass, field
from typing import Protocol

from pirate.deadline import Deadline
from pirate.errors import PeerError, StoppedError, TimedOutError
from pirate.fetch.paced import Paced, Source
from pirate.model import Entry, Peer
from pirate.net.conversation import Conversation
from pirate.net.dial import Dialer
from pirate.scope import Stop
from pirate.throttle import Throttle

# Holders of one file that are asked at once.
HOLDERS = 8


class Observer(Protocol):
    """Watches a download; called from any of its threads, one at a time, so it returns at once."""

    def started(self, entry: Entry, resumed: int) -> None:
        """The first holder was found; ``resumed`` bytes are there from before."""

    def added(self, peer: Peer) -> None:
        """Bytes are asked of ``peer`` from now on."""

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """No more bytes are asked of ``peer``, which has sent ``sent``."""

    def gave(self, peer: Peer, count: int) -> None:
        """``count`` more bytes have come from ``peer``."""

    def progress(self, done: int, size: int) -> None:
        """``done`` of ``size`` bytes are there."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all downloads of one command share."""

    dialer: Dialer
    observer: Observer
    deadline: Deadline
    stop: Stop
    holders: int = HOLDERS
    throttle: Throttle | None = None

    def source(self, conversation: Conversation, stop: Stop) -> Source:
        """Where bytes come from: the conversation, kept to our limit on speed if we have one."""
        if self.throttle is None:
            return conversation
        return Paced(conversation, self.throttle, stop)

    def pause(self, seconds: float, state: str) -> None:
        """Wait; raises StoppedError, or TimedOutError which tells ``state``, to end all."""
        if self.stop.wait(min(seconds, self.deadline.left)):
            raise StoppedError("stopped")
        if self.deadline.passed:
            raise TimedOutError(state)


@dataclass(slots=True)
class Received:
    """What a download has brought, and cost in bytes and seconds.

    ``size`` is the whole file's. ``by_digest``: what came is proven by the digest itself, not
    only by a chain that its holders vouch for. ``sources`` by the peers that sent them.
    """

    size: int | None = None
    by_digest: bool = True
    bytes: tuple[int, int] | None = None  # where a range begins, and where it has ended
    resumed: int = 0
    elapsed: float = 0.0
    sources: dict[Peer, int] = field(default_factory=dict)

    @property
    def received(self) -> int:
        """Bytes that came over the network."""
        return sum(self.sources.values())
