import pytest

from pirate.errors import ProtocolError
from pirate.model import Digest, PeerId
from pirate.model import Entry as File
from pirate.wire.frames import HEADER_SIZE, Header, Kind
from pirate.wire.messages import (
    Chain,
    Entries,
    Entry,
    Error,
    ErrorCode,
    Hello,
    Links,
    List,
    Message,
    Peers,
    Read,
    Request,
    Roster,
    Stat,
)
from pirate.wire.session import ServerSession

DIGEST = Digest(bytes(range(20)))
FILE = File(DIGEST, 4, ("a",))
HELLO = Hello(1, 1, 0, PeerId(bytes(16)), "anne", "pirate/1")
PAGE = Entries(1, 0, 1, 4, (FILE,))
HELD = Entry(FILE, DIGEST)
STATES = Links((DIGEST, DIGEST))
BUSY = Error(ErrorCode.BUSY, 1500, "full")


def received(message: Message, request: int, *, end: bool = True) -> tuple[Header, bytes]:
    frame = message.frame(request, end=end)
    return Header.decode(frame[:HEADER_SIZE]), frame[HEADER_SIZE:]


def data(request: int, length: int, *, end: bool) -> Header:
    return Header(Kind.DATA, end, request, length)


def introduced() -> ServerSession:
    session = ServerSession()
    header, body = received(HELLO, 0)
    assert session.expects(header)
    assert session.received(header, body) == HELLO
    return session


@pytest.mark.parametrize(
    "request_",
    [
        List(0, DIGEST, 9),
        Stat(DIGEST),
        Read(DIGEST, 0, 4),
        Chain(DIGEST, 0, 9),
        Roster(HELLO.peer, 9, ""),
    ],
)
def test_a_request_is_taken(request_: Request) -> None:
    session = introduced()
    header, body = received(request_, 2**32 - 1)
    assert session.expects(header)
    assert session.received(header, body) == request_


@pytest.mark.parametrize(
    "header",
    [
        received(HELLO, 1)[0],
        received(HELLO, 0, end=False)[0],
        received(BUSY, 0)[0],
        received(Stat(DIGEST), 1)[0],
        Header(0x80, end=True, request=0, length=9),
        data(1, 1024 * 1024, end=True),
    ],
)
def test_nothing_but_a_hello_may_come_first_from_a_client(header: Header) -> None:
    with pytest.raises(ProtocolError, match="has to be a HELLO"):
        ServerSession().expects(header)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (received(HELLO, 0)[0], "a request has a number"),
        (received(HELLO, 1)[0], "no request"),
        (received(BUSY, 1)[0], "no request"),
        (received(PAGE, 1)[0], "no request"),
        (received(STATES, 1)[0], "no request"),
        (received(HELD, 1)[0], "no request"),
        (received(Peers(0, 0, 0, ()), 1)[0], "no request"),
        (data(1, 1024 * 1024, end=True), "no request"),
        (received(Stat(DIGEST), 0)[0], "a request has a number"),
        (received(Stat(DIGEST), 1, end=False)[0], "a single frame"),
        (Header(0x18, end=True, request=0, length=0), "a request has a number"),
    ],
)
def test_what_no_client_may_send_is_refused_at_its_header(header: Header, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        introduced().expects(header)


def test_a_second_hello_is_no_request_either_where_its_header_was_not_checked() -> None:
    with pytest.raises(ProtocolError, match="no request"):
        introduced().received(*received(HELLO, 0))


def test_a_request_of_a_kind_to_come_is_answered_with_unsupported() -> None:
    header = Header(0x18, end=True, request=5, length=9)
    assert not introduced().expects(header)
    assert ServerSession.owed(header) == Error(ErrorCode.UNSUPPORTED, 0, "kind 0x18")


def test_a_kind_that_may_be_skipped_is_owed_nothing() -> None:
    header = Header(0xFF, end=False, request=0, length=9)
    assert not introduced().expects(header)
    assert ServerSession.owed(header) is None
