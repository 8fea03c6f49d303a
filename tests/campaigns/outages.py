"""One fault of an etcd cluster, or of a peer of it, while files travel: what it costs."""

import contextlib
import hashlib
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from enum import Enum
from pathlib import Path
from random import Random
from typing import NamedTuple, Self

from etcd_cluster import EtcdCluster, Member
from processes.peers import Done, Running, Serving, arrived, until

from pirate.deadline import Deadline
from pirate.errors import PirateError, RegistryError
from pirate.model import Peer
from pirate.net.dial import Dialer
from pirate.network import new_hello
from pirate.registry.etcd import EtcdRegistry
from pirate.scope import Stop

# From the recovery of etcd, or of the peer, until everybody is visible again.
LONGEST_ABSENCE = 3.0

GIVE_UP_SECONDS = 60.0
RATE = 1024 * 1024


class Fault(Enum):
    """What happens; the leader's faults the cluster mends by itself."""

    KILLED = "leader killed"
    FROZEN = "leader frozen"
    MAJORITY = "two members frozen"
    WIPED = "all restarted, empty"
    SUSPENDED = "peer suspended"


class Run(NamedTuple):
    """What came of one fault, in seconds, and what is wrong, if anything is.

    ``away``: from the fault until etcd, or the peer, was there again; ``visible``: from then on
    until all peers were in etcd; ``known``: until each of them knew of all others. ``missed``
    is how many were not in etcd at some time after the recovery. ``outlasted``: the download
    was still running when all of that was over, so that it proves something.
    """

    away: float
    visible: float
    known: float
    missed: int
    outlasted: bool
    wrong: str


class Outages:
    """Three peers, a cluster of three, and downloads while the ``with`` block runs."""

    def __init__(self, folder: Path, ttl: float, download: float) -> None:
        """A ``download`` takes that many seconds."""
        self._folder = folder
        self._ttl = ttl
        self._content = Random(1).randbytes(int(download * RATE))
        self._digest = hashlib.sha1(self._content).hexdigest()
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> Self:
        with self._stack:
            self.cluster = self._stack.enter_context(EtcdCluster(self._folder))
            self._etcd = ("--etcd", ",".join(map(str, self.cluster.addresses)))
            self._peers = {name: self._serving(name) for name in ("alpha", "beta", "gamma")}
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, fault: Fault) -> Run:
        """Let it happen in the middle of a download."""
        if not until(lambda: self._in(self.cluster.members[0]) == set(self._peers), 20.0):
            raise RuntimeError("the peers do not find together")
        self._count += 1
        place = self._folder / f"got {self._count}"
        place.mkdir()
        words = ("get", self._digest, "-q", "-d", place, "--limit-down", RATE, *self._etcd)
        with Running(*words) as get:
            if not until(lambda: arrived(place) > 0):
                raise RuntimeError("the download does not begin")
            began = time.monotonic()
            with self._happening(fault) as witness:
                away = time.monotonic() - began
                missed, visible, known = self._recovery(witness)
                outlasted = get.process.poll() is None
            done = get.ends(GIVE_UP_SECONDS)
        return Run(away, visible, known, missed, outlasted, self._wrong(done, place))

    def _serving(self, name: str) -> Serving:
        folder = self._folder / f"share {name}" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(self._content)
        flags = (*self._etcd, "--ttl", f"{self._ttl}s")
        return self._stack.enter_context(Serving(folder, *flags))

    @contextlib.contextmanager
    def _happening(self, fault: Fault) -> Iterator[Member]:
        """Let it happen, give a member that is well when it is over, and mend what is left."""
        cluster = self.cluster
        leader, witness = cluster.leader(), cluster.followers()[0]
        match fault:
            case Fault.KILLED:
                leader.kill()
                self._wait(lambda: self._answers(witness))
                yield witness
                leader.start()
            case Fault.FROZEN:
                leader.freeze()
                try:
                    self._wait(lambda: self._answers(witness))
                    yield witness
                finally:
                    leader.thaw()
            case Fault.MAJORITY:
                frozen = [leader, witness]
                for member in frozen:
                    member.freeze()
                time.sleep(self._ttl + 2.0)
                for member in frozen:
                    member.thaw()
                self._wait(lambda: self._answers(witness))
                yield witness
            case Fault.WIPED:
                cluster.wipe()
                time.sleep(2.0)
                cluster.start()
                yield witness
            case Fault.SUSPENDED:
                peer = self._peers["gamma"]
                peer.send(signal.SIGSTOP)
                try:
                    self._wait(lambda: "gamma" not in self._in(witness))
                finally:
                    peer.send(signal.SIGCONT)
                yield witness

    def _recovery(self, witness: Member) -> tuple[int, float, float]:
        began = time.monotonic()
        everybody = set(self._peers)
        missed = len(everybody - self._in(witness))
        self._wait(lambda: self._in(witness) == everybody)
        visible = time.monotonic() - began
        self._wait(lambda: all(self._known(peer) == everybody for peer in self._peers.values()))
        return missed, visible, time.monotonic() - began

    def _wait(self, condition: Callable[[], bool]) -> None:
        if not until(condition, GIVE_UP_SECONDS):
            raise RuntimeError(f"nothing is well after {GIVE_UP_SECONDS:.0f} s")

    def _in(self, member: Member) -> set[str]:
        """Who is announced, as this member tells; nobody if it does not answer."""
        with closing(EtcdRegistry((member.address,))) as registry:
            try:
                return {peer.name for peer in registry.peers(Deadline(0.5))}
            except RegistryError:
                return set()

    def _answers(self, member: Member) -> bool:
        """Whether it can tell who is announced: there is a leader, and most members follow."""
        with closing(EtcdRegistry((member.address,))) as registry:
            try:
                registry.peers(Deadline(0.5))
            except RegistryError:
                return False
        return True

    def _known(self, serving: Serving) -> set[str]:
        """Whom a peer knows, itself as well; nobody if it is not sure."""
        peer, deadline = Peer((serving.address,)), Deadline(2.0)
        with closing(Dialer(new_hello())) as dialer:
            try:
                with dialer.talk(peer, deadline, Stop()) as conversation:
                    known = conversation.peers(deadline)
            except PirateError:
                return set()
        return set() if known.stale else {each.name for each in known.announcements}

    def _wrong(self, done: Done, place: Path) -> str:
        """What is wrong with a download that has ended."""
        if done.code:
            return f"the download ends with {done.code}: {done.err.strip()}"
        found = [path.read_bytes() == self._content for path in place.iterdir()]
        return "" if found == [True] else "the download left something else than the file"
