"""Whose turn it is on one connection: hello first, answers in order, sizes add up.

Pure state machines, one for each side. They see headers and messages, never sockets.
"""

from collections import deque
from dataclasses import dataclass

from pirate.errors import ProtocolError, RefusedError
from pirate.wire.entries import Run
from pirate.wire.frames import LIMITS, MAY_BE_SKIPPED, Header, Kind
from pirate.wire.messages import (
    NEWEST_VERSION,
    OLDEST_VERSION,
    Chain,
    Entries,
    Entry,
    Error,
    ErrorCode,
    Find,
    Found,
    Hello,
    Links,
    List,
    Peers,
    Read,
    Request,
    Roster,
    Stat,
    State,
    Status,
    decode,
)

# What answers what. All but ENTRY and STATE may take several frames, END on the last.
ANSWERS: dict[int, Kind] = {
    Kind.LIST: Kind.ENTRIES,
    Kind.STAT: Kind.ENTRY,
    Kind.READ: Kind.DATA,
    Kind.CHAIN: Kind.LINKS,
    Kind.ROSTER: Kind.PEERS,
    Kind.FIND: Kind.FOUND,
    Kind.STATUS: Kind.STATE,
}
_SINGLE = {Kind.ENTRY, Kind.STATE, Kind.ERROR}

# Request numbers go from 1 to here and begin again; 0 is the connection itself.
LAST_REQUEST = 0xFFFF_FFFF


def welcome(header: Header, body: bytes) -> Hello:
    """The HELLO that a server speaks first; RefusedError if it is an ERROR."""
    if header.request != 0 or not header.end:
        raise ProtocolError("the first frame is a single one, about the connection")
    match decode(header, body):
        case Hello() as hello:
            return hello
        case Error(code, retry_after_ms, reason):
            raise refusal(code, retry_after_ms, reason)
        case _:
            raise ProtocolError("the first frame has to be a HELLO")


def agree(theirs: Hello) -> int:
    """The version to speak with ``theirs``; RefusedError if there is none."""
    newest = min(NEWEST_VERSION, theirs.newest)
    if newest < max(OLDEST_VERSION, theirs.oldest):
        raise RefusedError(
            "version",
            f"we speak versions {OLDEST_VERSION} to {NEWEST_VERSION}, "
            f"the peer {theirs.oldest} to {theirs.newest}",
        )
    return newest


@dataclass(slots=True)
class _Awaited:
    """An answer under way: which request's, of what kind, and the bytes still owed."""

    request: int
    kind: Kind
    owed: int

    def pay(self, header: Header) -> None:
        """Count the bytes of one DATA frame; the last one ends the answer, no other does."""
        self.owed -= header.length
        if self.owed < 0 or header.end != (self.owed == 0):
            raise ProtocolError("DATA frames do not add up to the length asked for")
        if header.length == 0 and not header.end:
            raise ProtocolError("an empty DATA frame")


class ClientSession:
    """The asking side: numbers its requests and holds every answer against them."""

    def __init__(self) -> None:
        self._last = 0
        self._awaited: deque[_Awaited] = deque()

    @property
    def idle(self) -> bool:
        """Whether every request has had its whole answer."""
        return not self._awaited

    def ask(self, message: Request) -> bytes:
        """The frame to send for ``message``; ValueError, and nothing awaited, if it has none."""
        number = self._last % LAST_REQUEST + 1
        frame = message.frame(number)
        owed = message.length if isinstance(message, Read) else 0
        self._awaited.append(_Awaited(number, ANSWERS[message.KIND], owed))
        self._last = number
        return frame

    def expects(self, header: Header) -> bool:
        """Check a frame's header; True to read its body, False to skip it.

        Raises ProtocolError for a frame that answers nothing, comes out of turn, or whose
        bytes do not add up to what was asked.
        """
        if header.kind >= MAY_BE_SKIPPED:
            return False
        if header.kind in _SINGLE and not header.end:
            raise ProtocolError(f"kind {header.kind:#04x} is a whole answer, and does not end it")
        if header.kind == Kind.ERROR and header.request == 0:
            return True
        if not self._awaited:
            raise ProtocolError("an answer that nobody asked for")
        awaited = self._awaited[0]
        if header.request != awaited.request:
            raise ProtocolError(
                f"an answer to request {header.request}, expected {awaited.request}"
            )
        if header.kind not in (awaited.kind, Kind.ERROR):
            raise ProtocolError(f"kind {header.kind:#04x} does not answer that request")
        if header.kind == Kind.DATA:
            awaited.pay(header)
        if header.end:
            self._awaited.popleft()
        return True

    @staticmethod
    def message(header: Header, body: bytes) -> Entries | Entry | Links | Peers | Found | State:
        """The answer in a frame that is not DATA; RefusedError if it is an ERROR."""
        match decode(header, body):
            case Error(code, retry_after_ms, reason):
                raise refusal(code, retry_after_ms, reason)
            case Entries(entries=()) if not header.end:
                raise ProtocolError("an empty ENTRIES frame that is not the last")
            case Entries(since=0, entries=Run(gone=True)) | Found(entries=Run(gone=True)):
                raise ProtocolError("an entry without a name, and not among changes")
            case Links(states=()) if not header.end:
                raise ProtocolError("an empty LINKS frame that is not the last")
            case Peers(records=()) if not header.end:
                raise ProtocolError("an empty PEERS frame that is not the last")
            case Entries() | Entry() | Links() | Peers() | Found() | State() as answer:
                return answer
            case _:
                raise ProtocolError(f"kind {header.kind:#04x} is no answer")


def refusal(code: int, retry_after_ms: int, reason: str) -> RefusedError:
    """What an ERROR stands for; a code that we do not know is called ``error_NUMBER``."""
    try:
        name = ErrorCode(code).name.lower()
    except ValueError:
        name = f"error_{code}"
    return RefusedError(name, reason, retry_after=retry_after_ms / 1000)


class ServerSession:
    """The answering side: a HELLO first, then nothing but requests."""

    def __init__(self) -> None:
        self.hello: Hello | None = None

    def expects(self, header: Header) -> bool:
        """Check a frame's header; True to read its body, False to skip it.

        Raises ProtocolError, before any of the body has come, for what no client may send.
        """
        if self.hello is None:
            if header.kind != Kind.HELLO or header.request != 0 or not header.end:
                raise ProtocolError("the first frame has to be a HELLO")
        elif header.kind < MAY_BE_SKIPPED:
            if header.request == 0 or not header.end:
                raise ProtocolError("a request has a number and is a single frame")
            if header.kind in LIMITS and header.kind not in ANSWERS:
                raise ProtocolError(f"kind {header.kind:#04x} is no request")
        return header.kind in LIMITS

    @staticmethod
    def owed(header: Header) -> Error | None:
        """What a frame whose body was skipped is answered with, if with anything."""
        if header.kind >= MAY_BE_SKIPPED:
            return None
        return Error(ErrorCode.UNSUPPORTED, 0, f"kind {header.kind:#04x}")

    def received(self, header: Header, body: bytes) -> Hello | Request:
        """What an expected frame says."""
        match decode(header, body):
            case Hello() as hello if self.hello is None:
                self.hello = hello
                return hello
            case (List() | Stat() | Read() | Chain() | Roster() | Find() | Status()) as request:
                return request
            case _:
                raise ProtocolError(f"kind {header.kind:#04x} is no request")
