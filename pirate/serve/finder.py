"""What all the peers have that we know: from memory as far as that is fresh, else asked for."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial

from pirate.catalogs import Catalogs, Listing
from pirate.deadline import Deadline
from pirate.errors import PeerError, StalledError, UnaskedError
from pirate.model import Known, Peer, PeerId
from pirate.net.conversation import NOBODY, PULSE_SECONDS
from pirate.scope import Scope, Stop
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run
from pirate.wire.messages import Find, Found
from pirate.wire.pattern import Pattern

log = logging.getLogger(__name__)

# A peer has so long to be listed, whoever waits for it meanwhile.
ASK_SECONDS = 30.0

# So many guests at once may have peers asked. Each question has threads of its own.
SURVEYS = 4

REASON_BYTES = 255

PULSE = Found(NOBODY, "", "", ())

_Answer = tuple[Peer, Listing | PeerError]
_Told = dict[PeerId, Catalog | PeerError]


class Finder:
    """Answers FIND, for any thread. Before the first one nobody is asked anything."""

    def __init__(
        self,
        catalogs: Catalogs,
        known: Callable[[], Known],
        own: Callable[[], tuple[PeerId, Catalog]],
    ) -> None:
        """``known`` tells whom we know, us among them; ``own`` who we are, and what we have."""
        self._catalogs = catalogs
        self._known = known
        self._own = own
        self._scope: Scope | None = None
        self._surveys = threading.Semaphore(SURVEYS)

    def start(self, scope: Scope) -> None:
        """Ask in threads of ``scope`` from now on: what a guest began goes on when it has gone."""
        self._scope = scope

    def find(self, request: Find) -> Iterator[Found]:
        """The frames of the answer but for its end, pulses among them while it has to wait."""
        told: _Told = {}
        yield from self._list(told, Deadline(min(ASK_SECONDS, request.patience_ms / 1000)))
        yield from _matching(told, request.pattern)

    def _list(self, told: _Told, deadline: Deadline) -> Iterator[Found]:
        """Fill ``told`` with everybody that we know."""
        me, ours = self._own()
        waiting: dict[PeerId, Peer] = {}
        for announcement in self._known().announcements:
            peer = Peer.announced(announcement)
            if announcement.id == me:
                told[me] = ours
            elif listing := self._catalogs.fresh(peer):
                told[announcement.id] = listing.catalog
            else:
                waiting[announcement.id] = peer
        if not waiting:
            return
        answers, pulse = self._asked([*waiting.values()]), Deadline(PULSE_SECONDS)
        while waiting and not deadline.passed:
            with suppress(queue.Empty):
                answer = answers.get(timeout=min(pulse.left, deadline.left))
                if answer is None:
                    break
                peer, what = answer
                if peer.id and waiting.pop(peer.id, None):
                    told[peer.id] = what if isinstance(what, PeerError) else what.catalog
            if pulse.passed:
                yield PULSE
                pulse = Deadline(PULSE_SECONDS)
        late = StalledError("does not answer in time")
        told.update(dict.fromkeys(waiting, late))

    def _asked(self, peers: Sequence[Peer]) -> "queue.SimpleQueue[_Answer | None]":
        """Have peers asked; their answers as they come, and None behind the last."""
        answers: queue.SimpleQueue[_Answer | None] = queue.SimpleQueue()
        if self._scope and self._surveys.acquire(blocking=False):
            try:
                self._scope.spawn("find", partial(self._ask, peers, answers, self._scope.stop))
            except RuntimeError:  # the system has no more threads
                self._surveys.release()
                raise
        else:
            for peer in peers:
                answers.put((peer, UnaskedError("too many ask at once")))
        return answers

    def _ask(
        self, peers: Sequence[Peer], answers: "queue.SimpleQueue[_Answer | None]", stop: Stop
    ) -> None:
        """Ask them; a thread's body."""
        forever = Deadline.within(None)
        asked = self._catalogs.of_all(peers, forever, stop, each=ASK_SECONDS)
        try:
            with closing(asked):
                for answer in asked:
                    answers.put(answer)
        except Exception:  # as in an answer of the server: a bug ends that, and is told
            log.exception("cannot ask peers for what they have")
        finally:
            answers.put(None)
            self._surveys.release()


def _matching(told: _Told, text: str) -> Iterator[Found]:
    """A frame or more of everybody: the files that match anywhere, or why there are none."""
    digests: set[bytes] = set()
    if text:
        pattern = Pattern(text)
        for what in told.values():
            if isinstance(what, Catalog):
                digests.update(pattern.digests(what))
                yield PULSE
    for peer, what in told.items():
        if isinstance(what, PeerError):
            reason = str(what).encode(errors="replace")[:REASON_BYTES].decode(errors="ignore")
            yield Found(peer, what.code, reason, ())
        else:
            for run in (what.only(digests) if text else what.runs()) or (Run(),):
                yield Found(peer, "", "", run)
