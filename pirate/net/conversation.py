"""One peer, asked: requests out, checked answers back, over one channel."""

from typing import NamedTuple, Self

from pirate.chain import STATE_SIZE, Chain, segments
from pirate.deadline import Deadline, Pace
from pirate.errors import ProtocolError, StalledError
from pirate.model import Digest, Entry
from pirate.net.channel import LEAST_PROGRESS, Channel
from pirate.wire import messages
from pirate.wire.frames import MAY_BE_SKIPPED, Kind
from pirate.wire.session import ClientSession, agree, welcome

HELLO_SECONDS = 5.0

_NEVER = Deadline.within(None)


class Page(NamedTuple):
    """A part of a peer's catalog; ``files`` and ``size`` are of the whole."""

    revision: int
    files: int
    size: int
    entries: tuple[Entry, ...]


class Conversation:
    """The asking side of a connection. Every method may raise any PeerError.

    After one of them raised anything but RefusedError the conversation is over.
    """

    def __init__(self, channel: Channel, peer: messages.Hello) -> None:
        """``channel`` has been introduced by ``introduce``; it is owned from here on."""
        self.channel = channel
        self.peer = peer
        self._session = ClientSession()
        self._data = 0  # bytes of the current DATA frame that are still to come
        self._pace = Pace(LEAST_PROGRESS, channel.stall)

    @classmethod
    def introduce(cls, channel: Channel, hello: messages.Hello, deadline: Deadline) -> Self:
        """Wait for the peer's HELLO, then send ours: nothing of ours goes to a stranger."""
        theirs = welcome(*channel.receive(deadline.at_most(HELLO_SECONDS)))
        agree(theirs)
        channel.send(hello.frame(0))
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
        """At most ``limit`` entries above ``after``, or none if ``known`` is still current."""
        self._send(messages.List(known, after, limit))
        entries: list[Entry] = []
        while True:
            answer, ended = self._receive(deadline)
            if not isinstance(answer, messages.Entries):
                raise ProtocolError("LIST is answered by ENTRIES")
            for entry in answer.entries:
                if entry.digest <= after:
                    raise ProtocolError("entries do not ascend")
                after = entry.digest
                entries.append(entry)
            if len(entries) > limit:
                raise ProtocolError("more entries than asked for")
            if ended:
                return Page(answer.revision, answer.files, answer.size, tuple(entries))

    def read(self, digest: Digest, offset: int, length: int) -> None:
        """Ask for a range; ``data_into`` gives its bytes. Several may be outstanding."""
        if self._session.idle:
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
        return self._session.idle and self._data == 0

    def _next_data(self, deadline: Deadline) -> int:
        header = self.channel.receive_header(deadline)
        if self._session.expects(header) and header.kind == Kind.DATA:
            return header.length
        body = self.channel.receive_body(header, deadline)
        if header.kind < MAY_BE_SKIPPED:
            self._session.message(header, body)  # an ERROR: raises
        return 0

    def _send(self, message: messages.Request) -> None:
        self.channel.send(self._session.ask(message))

    def _receive(
        self, deadline: Deadline
    ) -> tuple[messages.Entries | messages.Entry | messages.Links, bool]:
        """The next frame's message, and whether it ends its answer."""
        while True:
            header, body = self.channel.receive(deadline)
            if self._session.expects(header):
                return self._session.message(header, body), header.end
