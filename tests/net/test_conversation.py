import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from evil import Babbler, Holder, busy, ghost, http, mute, old
from fake import Behaviour, Fake, Line
from honest import NEVER, SOON, Honest, dialer, digest_of, hello, some_bytes

from pirate.chain import NO_CHAIN
from pirate.deadline import Deadline
from pirate.errors import LostError, PeerError, ProtocolError, RefusedError, StalledError
from pirate.model import Address, Digest, Entry
from pirate.net.conversation import HELLO_SECONDS, Conversation
from pirate.scope import Stop
from pirate.wire import messages
from pirate.wire.frames import Header, Kind

FIRST = Digest(bytes(20))
CONTENT = some_bytes(300_000)
DIGEST = digest_of(CONTENT)


@contextlib.contextmanager
def talking(behaviour: Behaviour, *, stall: float = SOON) -> Iterator[Conversation]:
    with (
        Fake(behaviour) as fake,
        contextlib.closing(dialer(stall=stall)) as dial,
        dial.talk(fake.peer, NEVER, Stop()) as conversation,
    ):
        yield conversation


def answering(*frames: bytes) -> Behaviour:
    """Send these frames, whatever is asked."""

    def behave(line: Line) -> None:
        line.introduce()
        line.frame()
        line.send(b"".join(frames))
        line.hold()

    return behave


def read_all(conversation: Conversation, length: int) -> bytes:
    data = memoryview(bytearray(length))
    filled = 0
    while filled < length:
        filled += conversation.data_into(data[filled:])
    return bytes(data)


# Introduction.


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (ghost, LostError),
        (mute, StalledError),
        (http, ProtocolError),
        (Babbler(), ProtocolError),
        (busy, RefusedError),
        (old, RefusedError),
        (lambda line: line.send(hello("x").frame(7)), ProtocolError),
        (lambda line: line.send(hello("x").frame(0, end=False)), ProtocolError),
        (lambda line: line.send(messages.Stat(FIRST).frame(0)), ProtocolError),
    ],
)
def test_who_is_no_pirate_or_has_no_room_gets_nothing_of_ours(
    behaviour: Behaviour, error: type[PeerError]
) -> None:
    heard = []

    def listening(line: Line) -> None:
        line.sock.settimeout(0.5)
        behaviour(line)
        with contextlib.suppress(OSError):
            line.sock.shutdown(socket.SHUT_WR)
            heard.append(line.sock.recv(1))

    stall = 0.3 if error is StalledError else SOON
    with pytest.raises(error) as raised, talking(listening, stall=stall):
        pass
    assert type(raised.value) is error
    assert not any(heard)


def test_a_hello_that_trickles_is_over_in_time() -> None:
    def trickle(line: Line) -> None:
        for byte in hello("slow").frame(0):
            line.send(bytes([byte]))
            line.stop.wait(0.1)

    began = time.monotonic()
    with Fake(trickle) as fake, pytest.raises(StalledError):
        dialer()._open(fake.peer, Deadline(0.5), Stop())
    assert time.monotonic() - began < HELLO_SECONDS


def test_a_server_tells_at_which_address_it_sees_us(honest: Honest) -> None:
    with contextlib.closing(dialer()) as dial, dial.talk(honest.peer, NEVER, Stop()) as peer:
        ours = Address(*peer.channel.sock.getsockname())
        assert peer.seen == str(ours)


# Answers.


def data(number: int, size: int, *, end: bool = True) -> bytes:
    return Header(Kind.DATA, end, number, size).encode() + bytes(size)


def entries(number: int, *digests: Digest, end: bool = True) -> bytes:
    listed = tuple(Entry(digest, 1, ("name",)) for digest in digests)
    return messages.Entries(7, 0, 9, 9, listed).frame(number, end=end)


ENTRY = messages.Entry(Entry(DIGEST, 1, ("name",)), NO_CHAIN)
Question = Callable[[Conversation], object]


def stat(conversation: Conversation) -> object:
    return conversation.stat(DIGEST, NEVER)


def read(conversation: Conversation) -> object:
    conversation.read(DIGEST, 0, 100)
    return read_all(conversation, 100)


def list_two(conversation: Conversation) -> object:
    return conversation.list(0, FIRST, 2, NEVER)


LOW, HIGH = Digest(b"\1" * 20), Digest(b"\2" * 20)


@pytest.mark.parametrize(
    ("question", "frames"),
    [
        (stat, [ENTRY.frame(2)]),
        (stat, [ENTRY.frame(1, end=False)]),
        (stat, [messages.Entry(Entry(FIRST, 1, ("name",)), NO_CHAIN).frame(1)]),
        (stat, [data(1, 0)]),
        (stat, [entries(1)]),
        (stat, [Header(0x7F, True, 1, 0).encode()]),
        (read, [data(1, 101)]),
        (read, [data(1, 99)]),
        (read, [data(1, 100, end=False)]),
        (read, [data(1, 50, end=False), data(1, 51)]),
        (read, [data(1, 0, end=False)]),
        (read, [ENTRY.frame(1)]),
        (read, [Header(Kind.DATA, True, 1, 2**32 - 1).encode()]),
        (list_two, [entries(1, HIGH, LOW)]),
        (list_two, [entries(1, LOW, LOW)]),
        (list_two, [entries(1, LOW, end=False), entries(1, LOW)]),
        (list_two, [entries(1, LOW, HIGH, Digest(b"\3" * 20))]),
        (list_two, [entries(1, FIRST)]),
        (list_two, [entries(1, end=False)]),
        (list_two, [ENTRY.frame(1)]),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_refused(
    question: Question, frames: list[bytes]
) -> None:
    with pytest.raises(ProtocolError), talking(answering(*frames)) as conversation:
        question(conversation)


def test_what_nobody_asked_for_is_refused_with_the_next_answer() -> None:
    frames = [
        messages.Entry(Entry(DIGEST, 1, ("name",)), NO_CHAIN).frame(number) for number in (1, 9)
    ]
    with talking(answering(*frames)) as conversation:
        conversation.stat(DIGEST, NEVER)
        with pytest.raises(ProtocolError):
            conversation.stat(DIGEST, NEVER)


def test_news_between_frames_is_passed_over() -> None:
    news = Header(0xC0, True, 0, 3).encode() + b"new"
    frames = [news, data(1, 60, end=False), news, news, data(1, 40)]
    with talking(answering(*frames)) as conversation:
        conversation.read(DIGEST, 0, 100)
        assert read_all(conversation, 100) == bytes(100)


def test_an_answer_may_take_many_frames_and_end_in_a_refusal() -> None:
    frames = [data(1, 60, end=False), messages.Error(5, 0, "it changed").frame(1)]
    with talking(answering(*frames)) as conversation:
        conversation.read(DIGEST, 0, 100)
        assert read_all(conversation, 60) == bytes(60)
        with pytest.raises(RefusedError, match="stale: it changed"):
            conversation.data_into(memoryview(bytearray(1)))


def test_a_refusal_of_the_connection_may_come_at_any_time() -> None:
    with talking(answering(messages.Error(7, 1500, "").frame(0))) as conversation:
        with pytest.raises(RefusedError) as raised:
            conversation.stat(DIGEST, NEVER)
        assert (raised.value.code, raised.value.retry_after) == ("busy", 1.5)


# Pace.


def test_a_peer_that_sends_too_little_is_given_up() -> None:
    def pay(line: Line, number: int, data: bytes) -> None:
        line.send(Header(Kind.DATA, True, number, len(data)).encode())
        for byte in data:
            line.send(bytes([byte]))
            line.stop.wait(0.05)

    with talking(Holder(CONTENT, pay=pay), stall=1.0) as conversation:
        conversation.read(DIGEST, 0, len(CONTENT))
        with pytest.raises(StalledError, match="65536"):
            read_all(conversation, len(CONTENT))


def test_the_time_in_which_nothing_is_owed_does_not_count_against_the_peer() -> None:
    with talking(Holder(CONTENT), stall=1.5) as conversation:
        for _ in range(2):
            assert not Stop().wait(1.6)  # longer than the stall
            conversation.read(DIGEST, 5, 10)
            assert read_all(conversation, 10) == CONTENT[5:15]


def test_a_whole_catalog_and_a_file_come_from_a_real_server(honest: Honest) -> None:
    digests = sorted(honest.put(f"{n}", some_bytes(1000, n)) for n in range(20))
    with contextlib.closing(dialer()) as dial, dial.talk(honest.peer, NEVER, Stop()) as peer:
        page = peer.list(0, FIRST, 100, NEVER)
        assert [entry.digest for entry in page.entries] == digests
        assert (page.files, page.size) == (20, 20_000)
        assert peer.list(page.revision, FIRST, 100, NEVER).entries == ()
        assert [e.digest for e in peer.list(0, digests[4], 3, NEVER).entries] == digests[5:8]
        peer.read(digests[3], 0, 1000)
        assert digest_of(read_all(peer, 1000)) == digests[3]
