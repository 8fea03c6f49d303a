"""One peer, asked: requests out, checked answers back, over one channel."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from pirate.chain import STATE_SIZE, Chain, segments
from pirate.deadline import Deadline, Pace
from pirate.errors import ProtocolError, RefusedError, StalledError
from pirate.model import Announcement, Digest, Entry, Known, PeerId
from pirate.net.channel import LEAST_PROGRESS, Channel
from pirate.wire import messages
from pirate.wire.entries import Run
from pirate.wire.frames import MAY_BE_SKIPPED, Kind
from pirate.wire.session import ClientSession, agree, welcome

HELLO_SECONDS = 5.0

# Who looks for others says at least so often that it still does; we wait for several times that.
PULSE_SECONDS = 1.0
SILENCE_SECONDS = 5.0

# No more peers are learnt from one peer, nor wrong records of them read.
MOST_PEERS = 10_000

NOBODY = PeerId(bytes(PeerId.SIZE))

_NEVER = Deadline.within(None)


class Page(NamedTuple):
    """A part of a peer's catalog; ``files`` and ``size`` are of the whole.

    ``since`` is not 0 if it is a part of what has changed since that revision.
    """

    revision: int
    since: int
    files: int
    size: int
    runs: tuple[Run, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Its entries; one without names is gone."""
        return tuple(entry for run in self.runs for entry in run)


def hear(channel: Channel, deadline: Deadline) -> messages.Hello:
    """The HELLO that a peer speaks first; any PeerError, RefusedError if it takes nobody."""
    return welcome(*channel.receive(deadline.at_most(HELLO_SECONDS)))


class Conversation:
    """The asking side of a connection. Every method may raise any PeerError.

    After one of them raised anything but RefusedError the conversation is over.
    """

    def __init__(self, channel: Channel, peer: messages.Hello) -> None:
        """``channel`` has been introduced by ``introduce``; it is owned from here on."""
        self.channel = channel
        self.peer = peer
        self.session = ClientSession()
        self._data = 0  # bytes of the current DATA frame that are still to come
        self._pace = Pace(LEAST_PROGRESS, channel.stall)

    @classmethod
    def introduce(cls, channel: Channel, theirs: messages.Hello, ours: messages.Hello) -> Self:
        """Answer the HELLO that ``hear`` has heard: nothing of ours goes to a stranger."""
        agree(theirs)
        channel.send(ours.frame(0))
        return cls(channel, theirs)

    def stat(self, digest: Digest, deadline: Deadline) -> tuple[Entry, Digest]:
        """The peer's entry for ``digest``, and the name of the chain that it offers.

        The name is NO_CHAIN if it offers none. RefusedError "not_found" if it has no entry.
        """
        self._send(messages.Stat(digest))
        match self._receive(deadline)[0]:
            case messages.Entry(entry, chain) if entry.digest == digest:
                return entry, chain
            case _:
                raise ProtocolError("an ENTRY for another digest")

    def chain(self, entry: Entry, deadline: Deadline) -> Chain:
        """The chain of an entry, as the peer claims it."""
        count = segments(entry.size) - 1
        if count == 0:
            return Chain(entry.digest, entry.size, b"")
        self._send(messages.Chain(entry.digest, 0, count))
        states = bytearray()
        while True:
            answer, ended = self._receive(deadline)
            if not isinstance(answer, messages.Links):
                raise ProtocolError("CHAIN is answered by LINKS")
            states += b"".join(answer.states)
            if ended or len(states) > count * STATE_SIZE:
                break
        try:
            return Chain(entry.digest, entry.size, bytes(states))
        except ValueError as error:
            raise ProtocolError(f"LINKS do not fit the file: {error}") from error

    def list(self, known: int, after: Digest, limit: int, deadline: Deadline) -> Page:
        """At most ``limit`` entries above ``after``, or changes, none if ``known`` is current."""
        self._send(messages.List(known, after, limit))
        runs: list[Run] = []
        last, count = bytes(after), 0
        while True:
            answer, ended = self._receive(deadline)
            if not isinstance(answer, messages.Entries):
                raise ProtocolError("LIST is answered by ENTRIES")
            if answer.since not in (0, known):
                raise ProtocolError("changes since a revision that nobody knows")
            run = Run.of(answer.entries)
            if not run.ascends(last):
                raise ProtocolError("entries do not ascend")
            count += len(run)
            if count > limit:
                raise ProtocolError("more entries than asked for")
            if run:
                runs.append(run)
                last = run.digest(len(run) - 1)
            if ended:
                return Page(answer.revision, answer.since, answer.files, answer.size, tuple(runs))

    def peers(self, deadline: Deadline, own: str = "") -> Known:
        """Whom the peer knows, itself among them; nobody if it does not know the question.

        At most MOST_PEERS; records that are none are left out and counted. ``own`` is our
        record, so that it knows us too; empty if we serve nothing.
        """
        found: list[Announcement] = []
        after, wrong, left = NOBODY, 0, MOST_PEERS
        try:
            while True:
                answer, some = self._peers(messages.Roster(after, left, own), deadline)
                right = list(_announcements(some, after))
                found += right
                wrong += len(some) - len(right)
                left -= len(some)
                # Without a right record there is no telling where to go on.
                if left <= 0 or not right or len(found) + wrong >= answer.count:
                    break
                after = right[-1].id
        except RefusedError as error:
            if error.code != "unsupported":
                raise
            return Known()
        age = math.inf if answer.age == messages.UNKNOWN_AGE else float(answer.age)
        return Known(tuple(found), age, bool(answer.stale), wrong)

    def _peers(
        self, request: messages.Roster, deadline: Deadline
    ) -> tuple[messages.Peers, tuple[str, ...]]:
        """One answer to ROSTER: its last frame, and the records of all."""
        self._send(request)
        records: tuple[str, ...] = ()
        while True:
            answer, ended = self._receive(deadline)
            if not isinstance(answer, messages.Peers):
                raise ProtocolError("ROSTER is answered by PEERS")
            records += answer.records
            if len(records) > request.limit:
                raise ProtocolError("more peers than asked for")
            if ended:
                return answer, records

    def find(self, pattern: str, patience: float, deadline: Deadline) -> Iterator[messages.Found]:
        """What the peer and those that it knows have that matches, each some frames in a row.

        It has ``patience`` seconds to ask the others. ValueError if the pattern is too long.
        """
        self._send(messages.Find(pattern, int(1000 * patience)))
        peer, last, heard = NOBODY, b"", {NOBODY}
        while True:
            answer, ended = self._receive(deadline.at_most(SILENCE_SECONDS))
            if not isinstance(answer, messages.Found):
                raise ProtocolError("FIND is answered by FOUND")
            run = Run.of(answer.entries)
            if answer.peer not in (NOBODY, peer):
                peer, last = answer.peer, bytes(Digest.SIZE)
                if peer in heard:
                    raise ProtocolError("a peer comes twice")
                heard.add(peer)
            if not run.ascends(last):
                raise ProtocolError("entries do not ascend")
            if run:
                last = run.digest(len(run) - 1)
            if answer.peer != NOBODY:
                yield answer
            if ended:
                return

    def state(self, deadline: Deadline) -> messages.State:
        """How the peer is; RefusedError "denied" if it is on another machine."""
        self._send(messages.Status())
        match self._receive(deadline)[0]:
            case messages.State() as state:
                return state
            case _:
                raise ProtocolError("STATUS is answered by STATE")

    def read(self, digest: Digest, offset: int, length: int) -> None:
        """Ask for a range; ``data_into`` gives its bytes. Several may be outstanding."""
        if self.session.idle:
            self._pace = Pace(LEAST_PROGRESS, self.channel.stall)
        self._send(messages.Read(digest, offset, length))

    def data_into(self, view: memoryview, deadline: Deadline = _NEVER) -> int:
        """Some of the bytes of the oldest outstanding READ into ``view``; how many."""
        while self._data == 0:
            self._data = self._next_data(deadline.at_most(self.channel.stall))
            self._keep_pace(0)
        self.channel.patience(deadline)
        count = self.channel.receive_some(view[: self._data])
        self._data -= count
        self._keep_pace(count)
        return count

    def _keep_pace(self, count: int) -> None:
        if not self._pace.kept(count):
            raise StalledError(f"sends less than {LEAST_PROGRESS} B in {self.channel.stall:g} s")

    @property
    def seen(self) -> str:
        """The address at which the peer says it sees us; its text, so not to be trusted."""
        return self.peer.seen

    @property
    def idle(self) -> bool:
        """Whether nothing is outstanding, so that the channel may be used again."""
        return self.session.idle and self._data == 0

    def _next_data(self, deadline: Deadline) -> int:
        header = self.channel.receive_header(deadline)
        if self.session.expects(header) and header.kind == Kind.DATA:
            return header.length
        body = self.channel.receive_body(header, deadline)
        if header.kind < MAY_BE_SKIPPED:
            self.session.message(header, body)  # an ERROR: raises
        return 0

    def _send(self, message: messages.Request) -> None:
        self.channel.send(self.session.ask(message))

    def _receive(self, deadline: Deadline) -> tuple[messages.Answer, bool]:
        """The next frame's message, and whether it ends its answer."""
        while True:
            header, body = self.channel.receive(deadline)
            if self.session.expects(header):
                return self.session.message(header, body), header.end


def _announcements(records: Iterable[str], after: PeerId) -> Iterator[Announcement]:
    """The announcements in those records that have one; ProtocolError if ids do not ascend."""
    from pirate import record  # noqa: PLC0415 - 4 ms that only who asks for peers needs

    for text in records:
        try:
            announcement = record.decode(text.encode())
        except ProtocolError:
            continue
        if announcement.id <= after:
            raise ProtocolError("peers do not ascend")
        after = announcement.id
        yield announcement
