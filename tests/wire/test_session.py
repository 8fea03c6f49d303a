import pytest

from pirate.errors import ProtocolError, RefusedError
from pirate.model import Digest, PeerId
from pirate.model import Entry as File
from pirate.wire import session as session_module
from pirate.wire.frames import HEADER_SIZE, Header, Kind
from pirate.wire.messages import (
    Chain,
    Entries,
    Entry,
    Error,
    ErrorCode,
    Found,
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
from pirate.wire.session import ClientSession, agree, refusal, welcome

DIGEST = Digest(bytes(range(20)))
FILE = File(DIGEST, 4, ("a",))
HELLO = Hello(1, 1, 0, PeerId(bytes(16)), "anne", "pirate/1")
PAGE = Entries(1, 0, 1, 4, (FILE,))
NOTHING = Entries(1, 0, 1, 4, ())
HELD = Entry(FILE, DIGEST)
STATES = Links((DIGEST, DIGEST))
NO_STATES = Links(())
BUSY = Error(ErrorCode.BUSY, 1500, "full")


def received(message: Message, request: int, *, end: bool = True) -> tuple[Header, bytes]:
    frame = message.frame(request, end=end)
    return Header.decode(frame[:HEADER_SIZE]), frame[HEADER_SIZE:]


def data(request: int, length: int, *, end: bool) -> Header:
    return Header(Kind.DATA, end, request, length)


def asked(*requests: Request) -> ClientSession:
    session = ClientSession()
    for request in requests:
        session.ask(request)
    return session


# The beginning.


def test_a_server_is_welcomed_by_its_hello() -> None:
    assert welcome(*received(HELLO, 0)) == HELLO


def test_a_server_that_is_full_says_so_first() -> None:
    with pytest.raises(RefusedError, match="full") as refused:
        welcome(*received(BUSY, 0))
    assert (refused.value.code, refused.value.retry_after) == ("busy", 1.5)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        received(HELLO, 1),
        received(HELLO, 0, end=False),
        received(BUSY, 1),
        received(NOTHING, 0),
        (data(0, 0, end=True), b""),
        (Header(0x80, end=True, request=0, length=0), b""),
    ],
)
def test_nothing_else_may_come_first_from_a_server(header: Header, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        welcome(header, body)


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        ((1, 1), (1, 1), 1),
        ((1, 1), (1, 9), 1),
        ((1, 3), (2, 2), 2),
        ((2, 3), (0, 9), 3),
        ((1, 1), (2, 3), None),
        ((2, 3), (1, 1), None),
        ((1, 3), (2, 1), None),  # oldest above newest: no version is both
        ((1, 3), (9, 2), None),
        ((1, 1), (0, 0), None),
    ],
)
def test_the_newest_version_that_both_speak_is_spoken(
    ours: tuple[int, int],
    theirs: tuple[int, int],
    agreed: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "OLDEST_VERSION", ours[0])
    monkeypatch.setattr(session_module, "NEWEST_VERSION", ours[1])
    hello = Hello(*theirs, 0, PeerId(bytes(16)), "", "")
    if agreed:
        assert agree(hello) == agreed
    else:
        with pytest.raises(RefusedError, match="we speak versions"):
            agree(hello)


# The asking side.


def test_answers_come_in_the_order_of_the_requests() -> None:
    session = asked(List(0, DIGEST, 9), Stat(DIGEST), Read(DIGEST, 0, 3))
    for message, request, end in [(PAGE, 1, False), (NOTHING, 1, True), (HELD, 2, True)]:
        header, body = received(message, request, end=end)
        assert session.expects(header)
        assert session.message(header, body) == message
    assert session.expects(data(3, 2, end=False))
    assert not session.idle
    assert session.expects(data(3, 1, end=True))
    assert session.idle


@pytest.mark.parametrize("lengths", [[4], [1, 3], [1, 1, 1, 1], [3, 1]], ids=str)
def test_data_adds_up_to_what_was_asked(lengths: list[int]) -> None:
    session = asked(Read(DIGEST, 7, 4))
    for number, length in enumerate(lengths, 1):
        assert session.expects(data(1, length, end=number == len(lengths)))
    assert session.idle


def test_a_read_of_nothing_is_answered_by_one_empty_frame() -> None:
    session = asked(Read(DIGEST, 4, 0))
    assert session.expects(data(1, 0, end=True))
    assert session.idle


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([data(1, 5, end=True)], "add up"),
        ([data(1, 4, end=False)], "add up"),
        ([data(1, 3, end=True)], "add up"),
        ([data(1, 3, end=False), data(1, 2, end=True)], "add up"),
        ([data(1, 0, end=True)], "add up"),
        ([data(1, 0, end=False)], "an empty DATA frame"),
        ([data(2, 4, end=True)], "an answer to request 2, expected 1"),
        ([data(0, 4, end=True)], "an answer to request 0, expected 1"),
        ([data(1, 4, end=True), data(1, 4, end=True)], "nobody asked"),
        ([Header(Kind.ENTRY, end=True, request=1, length=9)], "does not answer that"),
        ([Header(Kind.READ, end=True, request=1, length=9)], "does not answer that"),
        ([Header(Kind.LINKS, end=True, request=1, length=9)], "does not answer that"),
        ([Header(Kind.HELLO, end=True, request=0, length=9)], "expected 1"),
        ([Header(0x18, end=True, request=1, length=9)], "does not answer that"),
        ([Header(Kind.ERROR, end=False, request=1, length=9)], "a whole answer"),
        ([Header(Kind.ERROR, end=False, request=0, length=9)], "a whole answer"),
    ],
)
def test_an_answer_out_of_turn_is_refused_at_its_header(frames: list[Header], why: str) -> None:
    session = asked(Read(DIGEST, 0, 4))
    *good, bad = frames
    for header in good:
        session.expects(header)
    with pytest.raises(ProtocolError, match=why):
        session.expects(bad)


def test_the_links_of_a_chain_may_take_several_frames() -> None:
    session = asked(Chain(DIGEST, 0, 4))
    for end in (False, True):
        header, body = received(STATES, 1, end=end)
        assert session.expects(header)
        assert session.message(header, body) == STATES
    assert session.idle


def test_an_entry_that_does_not_end_its_answer_is_refused() -> None:
    with pytest.raises(ProtocolError, match="a whole answer"):
        asked(Stat(DIGEST)).expects(received(HELD, 1, end=False)[0])


@pytest.mark.parametrize(
    ("request_", "empty"),
    [
        (List(0, DIGEST, 9), NOTHING),
        (Chain(DIGEST, 0, 9), NO_STATES),
        (Roster(HELLO.peer, 9, ""), Peers(0, 0, 0, ())),
    ],
)
def test_an_empty_page_has_to_be_the_last(request_: Request, empty: Message) -> None:
    header, body = received(empty, 1, end=True)
    assert asked(request_).expects(header)
    assert ClientSession.message(header, body) == empty
    header, body = received(empty, 1, end=False)
    assert asked(request_).expects(header)
    with pytest.raises(ProtocolError, match="not the last"):
        ClientSession.message(header, body)


GONE = (File(DIGEST, 0, ()),)


@pytest.mark.parametrize("answer", [Entries(1, 0, 1, 4, GONE), Found(HELLO.peer, "", "", GONE)])
def test_where_there_are_no_changes_nothing_can_be_gone(answer: Message) -> None:
    with pytest.raises(ProtocolError, match="without a name"):
        ClientSession.message(*received(answer, 1))


def test_what_is_no_answer_is_not_taken_for_one() -> None:
    with pytest.raises(ProtocolError, match="no answer"):
        ClientSession.message(*received(Stat(DIGEST), 1))


def test_an_error_takes_the_place_of_the_next_frame() -> None:
    session = asked(Read(DIGEST, 0, 4), Stat(DIGEST))
    session.expects(data(1, 1, end=False))
    header, body = received(Error(ErrorCode.STALE, 0, ""), 1)
    assert session.expects(header)
    with pytest.raises(RefusedError) as refused:
        session.message(header, body)
    assert refused.value.code == "stale"
    assert session.expects(received(HELD, 2)[0])
    assert session.idle


def test_an_error_about_the_connection_may_come_at_any_time() -> None:
    header, body = received(BUSY, 0)
    for session in (asked(), asked(Stat(DIGEST))):
        assert session.expects(header)
        with pytest.raises(RefusedError):
            session.message(header, body)


def test_a_kind_that_may_be_skipped_is_skipped_whatever_it_is_about() -> None:
    for session in (asked(), asked(Stat(DIGEST))):
        assert not session.expects(Header(0x80, end=False, request=99, length=5))


def test_a_request_that_cannot_be_sent_is_not_waited_for() -> None:
    session = ClientSession()
    with pytest.raises(ValueError, match="u64"):
        session.ask(Read(DIGEST, 2**64, 1))
    assert session.idle
    assert session.ask(Stat(DIGEST)) == Stat(DIGEST).frame(1)


def test_request_numbers_begin_again_and_leave_out_0() -> None:
    session = ClientSession()
    session._last = session_module.LAST_REQUEST - 1
    assert session.ask(Stat(DIGEST)) == Stat(DIGEST).frame(2**32 - 1)
    assert session.ask(Stat(DIGEST)) == Stat(DIGEST).frame(1)


@pytest.mark.parametrize(
    ("code", "name"), [(ErrorCode.NOT_FOUND, "not_found"), (0, "error_0"), (999, "error_999")]
)
def test_every_code_has_a_name(code: int, name: str) -> None:
    assert refusal(code, 0, "").code == name
