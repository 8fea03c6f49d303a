"""ROSTER and PEERS: whom a real server knows, and what a lying one may say."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake import Behaviour, Fake, Line, client
from honest import NEVER, SOON, Honest, dialer

from pirate import record
from pirate.errors import ProtocolError, RefusedError
from pirate.model import Address, Announcement, Known, Peer, PeerId
from pirate.net.conversation import MOST_PEERS, Conversation
from pirate.scope import Stop
from pirate.wire import messages
from pirate.wire.fields import RECORDS_LIMIT
from pirate.wire.frames import CONTROL_LIMIT, Kind

NOBODY = PeerId(bytes(16))


def announcement(number: int) -> Announcement:
    address = Address(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", 7070)
    return Announcement(PeerId(number.to_bytes(16)), f"peer {number}", (address,), "1")


def known(count: int, age: float = 0.0, *, stale: bool = False) -> Known:
    return Known(tuple(announcement(number) for number in range(1, count + 1)), age, stale)


def text(number: int) -> str:
    return record.encode(announcement(number)).decode()


def peers(count: int, *records: str, number: int = 1, end: bool = True) -> bytes:
    return messages.Peers(count, 7, 0, records).frame(number, end=end)


@contextlib.contextmanager
def talking(peer: Peer) -> Iterator[Conversation]:
    with (
        contextlib.closing(dialer(stall=SOON)) as dial,
        dial.talk(peer, NEVER, Stop()) as conversation,
    ):
        yield conversation


def asked(behaviour: Behaviour) -> Known:
    """What is believed of whom a fake peer says it knows."""
    with Fake(behaviour) as fake, talking(fake.peer) as conversation:
        return conversation.peers(NEVER)


def saying(*frames: bytes) -> Behaviour:
    """Answer each question in turn with one of these."""

    def behave(line: Line) -> None:
        line.introduce()
        for frame in frames:
            line.frame()
            line.send(frame)
        line.hold()

    return behave


@pytest.mark.parametrize("count", [0, 1, RECORDS_LIMIT, RECORDS_LIMIT + 1, 1000])
def test_a_server_tells_whom_it_knows(share: Path, count: int) -> None:
    told = known(count, 12.0, stale=True)
    with Honest(share, known=lambda: told) as server, talking(server.peer) as conversation:
        assert conversation.peers(NEVER) == told
        assert conversation.peers(NEVER).peers("peer") == tuple(
            Peer.announced(one) for one in told.announcements
        )


def test_a_server_that_never_knew_them_all_says_so(share: Path) -> None:
    told = known(1, math.inf)
    with Honest(share, known=lambda: told) as server, talking(server.peer) as conversation:
        assert conversation.peers(NEVER).age == math.inf


def test_a_long_roster_takes_frames_that_each_fit_and_can_be_read_in_pages(share: Path) -> None:
    told = known(200)
    with Honest(share, known=lambda: told) as server, client(server.address) as line:

        def ask(after: PeerId, limit: int) -> list[list[str]]:
            line.send(messages.Roster(after, limit, "").frame(1))
            pages = []
            while True:
                header, body = line.frame()
                assert (header.kind, header.length <= CONTROL_LIMIT) == (Kind.PEERS, True)
                answer = messages.Peers.decode(body)
                assert answer.count == 200
                pages.append([*answer.records])
                if header.end:
                    return pages

        assert [len(page) for page in ask(NOBODY, 2**32 - 1)] == [63, 63, 63, 11]
        assert ask(announcement(198).id, 9) == [[text(199), text(200)]]
        assert ask(announcement(3).id, 2) == [[text(4), text(5)]]
        assert ask(announcement(200).id, 9) == [[]]
        assert ask(NOBODY, 0) == [[]]


def test_a_record_that_nobody_would_accept_is_not_sent(share: Path) -> None:
    good = known(3)
    bad = replace(good.announcements[1], name="\x01" * 64, version="\x01" * 32)
    bad = replace(bad, addresses=(Address("fe80:1111:2222:3333:4444:5555:6666:7777", 65535),) * 8)
    told = Known((good.announcements[0], bad, good.announcements[2]), 0.0, stale=False)
    with Honest(share, known=lambda: told) as server, talking(server.peer) as conversation:
        assert conversation.peers(NEVER).announcements == good.announcements[::2]


def test_an_answer_in_several_parts_is_asked_for_until_all_are_there() -> None:
    told = asked(saying(peers(3, text(1), text(2)), peers(3, text(3), number=2)))
    assert told == Known(known(3).announcements, 7.0, stale=False)


def test_an_answer_that_has_none_left_is_the_end() -> None:
    assert len(asked(saying(peers(9, text(1)), peers(9, number=2))).announcements) == 1


def test_a_record_that_is_none_is_left_out_and_counted() -> None:
    wrong = ("", "{}", text(2).replace("10.", "x."), "\0" * 1024)
    told = asked(saying(peers(6, text(1), *wrong, text(7))))
    assert [one.id for one in told.announcements] == [announcement(1).id, announcement(7).id]
    assert told.wrong == 4


def test_records_that_are_all_wrong_are_not_asked_for_again() -> None:
    assert asked(saying(peers(9, "", ""))) == Known((), 7.0, stale=False, wrong=2)


@pytest.mark.parametrize(
    "frames",
    [
        peers(2, text(2), text(1)),
        peers(2, text(1), text(1)),
        peers(2, text(1), end=False) + peers(2, text(1)),
        peers(2, text(0)),
        peers(2, end=False),
        messages.Links(()).frame(1),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_refused(frames: bytes) -> None:
    with pytest.raises(ProtocolError):
        asked(saying(frames))


def test_no_more_is_read_than_was_asked_for() -> None:
    def endless(line: Line) -> None:
        line.introduce()
        header, body = line.frame()
        assert messages.Roster.decode(body).limit == MOST_PEERS
        while True:
            line.send(peers(2**32 - 1, *("",) * 63, number=header.request, end=False))

    with pytest.raises(ProtocolError, match="more peers than asked for"):
        asked(endless)


def test_a_peer_that_does_not_know_the_question_knows_nobody() -> None:
    unsupported = messages.Error(messages.ErrorCode.UNSUPPORTED, 0, "").frame(1)
    behaviour = saying(unsupported, peers(1, text(1), number=2))
    with Fake(behaviour) as fake, talking(fake.peer) as conversation:
        assert conversation.peers(NEVER) == Known()
        assert conversation.peers(NEVER).announcements, "the connection goes on"


def test_another_refusal_is_one() -> None:
    with pytest.raises(RefusedError, match="denied"):
        asked(saying(messages.Error(messages.ErrorCode.DENIED, 0, "").frame(1)))
