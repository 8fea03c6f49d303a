"""Many small questions to one peer: all asked without waiting, the answers in their order.

A conversation pays a system call or two for every frame. Here frames go out and come in by the
buffer, so that a file of a few KiB costs a fraction of one.
"""

from pirate.deadline import Deadline, Pace
from pirate.errors import ProtocolError, RefusedError, StalledError
from pirate.model import Digest
from pirate.net.channel import LEAST_PROGRESS
from pirate.net.conversation import Conversation
from pirate.wire import messages
from pirate.wire.frames import HEADER_SIZE, Header, Kind

# Questions that may wait for their answers (PROTOCOL.md, "Limits"). They have to fit into the
# buffers of both kernels, since a server that is sending does not read.
OUTSTANDING = 256

_BUFFER_BYTES = 256 * 1024

# A body that lacks so much is received where it belongs, without the buffer between.
_DIRECT_BYTES = 64 * 1024

# What an answer counts for, beside its bytes, when a peer is held to its least pace.
_ANSWER_BYTES = 1024


class Pipeline:
    """STATs and READs over a conversation that is idle; for one thread.

    Every method may raise any PeerError; the conversation is over then. A peer's "no" to one
    question is not raised but returned.
    """

    def __init__(self, conversation: Conversation, deadline: Deadline) -> None:
        self._session = conversation.session
        self._channel = conversation.channel
        self._deadline = deadline
        self._out = bytearray()
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0  # of what has arrived and was not used
        self._pace = Pace(LEAST_PROGRESS, self._channel.stall)

    def stat(self, digest: Digest) -> None:
        """Ask for an entry, as soon as ``flush`` is called."""
        self._ask(messages.Stat(digest))

    def read(self, digest: Digest, length: int) -> None:
        """Ask for a file of that length, as soon as ``flush`` is called."""
        self._ask(messages.Read(digest, 0, length))

    def flush(self) -> None:
        """Send all questions."""
        if self._out:
            self._channel.send(bytes(self._out))
            self._out.clear()

    def entry(self, digest: Digest) -> messages.Entry | RefusedError:
        """The next answer, which is one to STAT."""
        while True:
            header = self._header()
            if not self._session.expects(header):
                self._body(header.length)
                continue
            answer = self._message(header)
            if isinstance(answer, RefusedError):
                return answer
            if not isinstance(answer, messages.Entry) or answer.entry.digest != digest:
                raise ProtocolError("an ENTRY for another digest")
            return answer

    def data(self, length: int) -> memoryview | RefusedError:
        """The next answer, which is one to READ."""
        data = memoryview(bytearray(length))
        at = 0
        while True:
            header = self._header()
            if not self._session.expects(header):
                self._body(header.length)
            elif header.kind == Kind.DATA:
                self._fill(data[at : at + header.length])
                at += header.length
                if header.end:
                    return data
            else:
                answer = self._message(header)
                if isinstance(answer, RefusedError):
                    return answer
                raise ProtocolError("READ is answered by DATA")

    def _ask(self, message: messages.Request) -> None:
        if self._session.idle:
            self._pace = Pace(LEAST_PROGRESS, self._channel.stall)
        self._out += self._session.ask(message)

    def _message(self, header: Header) -> object:
        body = self._body(header.length)
        try:
            return self._session.message(header, body)
        except RefusedError as error:
            if header.request == 0:
                raise
            return error

    def _header(self) -> Header:
        while self._end - self._start < HEADER_SIZE:
            self._receive()
        start, self._start = self._start, self._start + HEADER_SIZE
        self._keep_pace(_ANSWER_BYTES)
        return Header.decode(self._buffer[start : self._start])

    def _body(self, length: int) -> bytes:
        body = bytearray(length)
        self._fill(memoryview(body))
        return bytes(body)

    def _fill(self, view: memoryview) -> None:
        """Fill ``view`` with the next bytes."""
        while view:
            count = min(len(view), self._end - self._start)
            view[:count] = self._view[self._start : self._start + count]
            self._start += count
            view = view[count:]
            if len(view) >= _DIRECT_BYTES:
                self._channel.patience(self._deadline)
                count = self._channel.receive_some(view)
                self._keep_pace(count)
                view = view[count:]
            elif view:
                self._receive()

    def _receive(self) -> None:
        """Take what comes into the buffer; what is left of the last time goes to its start."""
        left = self._end - self._start
        self._buffer[:left] = self._buffer[self._start : self._end]
        self._start, self._end = 0, left
        self._channel.patience(self._deadline)
        count = self._channel.receive_some(self._view[left:])
        self._end += count
        self._keep_pace(count)

    def _keep_pace(self, count: int) -> None:
        if not self._pace.kept(count):
            raise StalledError(f"sends less than {LEAST_PROGRESS} B in {self._channel.stall:g} s")
