"""One `get` as a command does it, in a folder of the test, with everything it told."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from honest import SOON, dialer

from pirate.byterange import WHOLE, ByteRange
from pirate.deadline import Deadline
from pirate.disk.tree import JOURNAL_SUFFIX, PART_SUFFIX
from pirate.errors import PeerError
from pirate.fetch.get import Getter
from pirate.fetch.target import IfExists, Target, Verdict
from pirate.fetch.terms import HOLDERS, Received, Terms
from pirate.model import Digest, Entry, Peer
from pirate.scope import Stop
from pirate.throttle import Throttle

# For tests in which somebody stalls.
STALL = 1.0


@dataclass
class Watcher:
    """An observer that remembers."""

    entries: list[Entry] = field(default_factory=list)
    resumed: int = 0
    dropped_peers: list[tuple[Peer, PeerError, int]] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    def started(self, entry: Entry, resumed: int) -> None:
        self.entries.append(entry)
        self.resumed = resumed

    def added(self, peer: Peer) -> None:
        pass

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        self.dropped_peers.append((peer, error, sent))

    def gave(self, peer: Peer, count: int) -> None:
        pass

    def progress(self, done: int, size: int) -> None:
        assert done <= size
        self.done.append(done)

    def dropped_with(self, error: type[PeerError]) -> set[str]:
        """The names of those who were dropped for this."""
        return {peer.name for peer, why, _ in self.dropped_peers if isinstance(why, error)}


@dataclass
class Rig:
    """What a test may choose before it calls ``get``; ``folder`` is where files end."""

    folder: Path
    name: str | None = "file"
    if_exists: IfExists = IfExists.FAIL
    seconds: float = math.inf
    wait: float = 0.0
    holders: int = HOLDERS
    throttle: Throttle | None = None
    asked: ByteRange = WHOLE
    stall: float = SOON
    stop: Stop = field(default_factory=Stop)
    watcher: Watcher = field(default_factory=Watcher)
    path: Path | None = None

    @contextlib.contextmanager
    def getter(self, peers: Sequence[Peer]) -> Iterator[Getter]:
        with contextlib.closing(dialer(stall=self.stall)) as dial:
            deadline = Deadline(self.seconds)
            terms = Terms(dial, self.watcher, deadline, self.stop, self.holders, self.throttle)
            yield Getter(lambda: peers, terms, self.wait, asked=self.asked)

    def get(self, digest: Digest, *peers: Peer) -> tuple[Verdict, Received]:
        with (
            Target(str(self.folder), (), self.name, self.if_exists) as target,
            self.getter(peers) as getter,
        ):
            try:
                return getter.to_target(digest, target)
            finally:
                self.path = Path(target.path)

    def part(self, digest: Digest) -> Path:
        return self.folder / f".{digest}{PART_SUFFIX}"

    @property
    def finished(self) -> set[str]:
        """What lies in the folder under a final name."""
        unfinished = (PART_SUFFIX, JOURNAL_SUFFIX)
        return {path.name for path in self.folder.glob("*") if not path.name.endswith(unfinished)}
