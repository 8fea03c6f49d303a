"""FIND, as who asks sees it: what is believed of an answer, and what is not."""

import pytest
from fake import Behaviour, Fake, Line
from honest import NEVER
from net.test_peers_of_peers import saying, talking

from pirate.errors import ProtocolError, RefusedError, StalledError
from pirate.model import Digest, Entry, PeerId
from pirate.net import conversation as module
from pirate.wire import messages
from pirate.wire.messages import ErrorCode, Found

ANNE, BESS = PeerId(b"a" * 16), PeerId(b"b" * 16)
NOBODY = PeerId(bytes(16))


def entry(number: int) -> Entry:
    return Entry(Digest(bytes([number] * 20)), number, ("x",))


def found(peer: PeerId, *numbers: int, code: str = "", end: bool = False) -> bytes:
    return Found(peer, code, "", tuple(map(entry, numbers))).frame(1, end=end)


END = found(NOBODY, end=True)


def asked(behaviour: Behaviour) -> list[tuple[PeerId, str, list[int]]]:
    with Fake(behaviour) as fake, talking(fake.peer) as talk:
        return [
            (answer.peer, answer.code, [one.size for one in answer.entries])
            for answer in talk.find("*", 1.5, NEVER)
        ]


def test_the_question_tells_the_pattern_and_how_long_it_may_take() -> None:
    questions: list[messages.Find] = []

    def behave(line: Line) -> None:
        line.introduce()
        questions.append(messages.Find.decode(line.frame()[1]))
        line.send(END)
        line.hold()

    assert asked(behave) == []
    assert questions == [messages.Find("*", 1500)]


def test_the_answer_is_about_one_peer_after_the_other_and_pulses_are_about_none() -> None:
    frames = [found(NOBODY), found(ANNE, 1, 3), found(NOBODY), found(ANNE, 4)]
    frames += [found(BESS, code="stall"), END]
    assert asked(saying(b"".join(frames))) == [
        (ANNE, "", [1, 3]),
        (ANNE, "", [4]),
        (BESS, "stall", []),
    ]


@pytest.mark.parametrize(
    "frames",
    [
        found(ANNE, 2, 1) + END,
        found(ANNE, 1) + found(ANNE, 1) + END,
        found(ANNE, 1) + found(BESS, 1) + found(ANNE, 2) + END,
        messages.Links(()).frame(1),
        Found(ANNE, "", "", (Entry(entry(1).digest, 0, ()),)).frame(1),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_refused(frames: bytes) -> None:
    with pytest.raises(ProtocolError):
        asked(saying(frames))


@pytest.mark.parametrize("code", [ErrorCode.UNSUPPORTED, ErrorCode.DENIED])
def test_a_refusal_is_one(code: ErrorCode) -> None:
    with pytest.raises(RefusedError):
        asked(saying(messages.Error(code, 0, "").frame(1)))


def test_a_server_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.1)
    with pytest.raises(StalledError, match=r"nothing for 0\.[01]"):
        asked(saying(found(NOBODY) + found(ANNE, 1)))
