"""Many small questions, asked without waiting."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake import Behaviour, Fake, Line
from honest import NEVER, SOON, Honest, dialer, digest_of, some_bytes

from pirate.chain import NO_CHAIN
from pirate.errors import LostError, PeerError, ProtocolError, RefusedError, StalledError
from pirate.model import Digest, Entry
from pirate.net.conversation import Conversation
from pirate.net.pipeline import OUTSTANDING, Pipeline
from pirate.scope import Stop
from pirate.wire import messages
from pirate.wire.frames import Header, Kind
from pirate.wire.messages import ErrorCode

CONTENT = some_bytes(300_000)
DIGEST = digest_of(CONTENT)
NOWHERE = Digest(bytes(20))


@contextlib.contextmanager
def conversing(behaviour: Behaviour, stall: float = SOON) -> Iterator[Conversation]:
    with (
        Fake(behaviour) as fake,
        contextlib.closing(dialer(stall=stall)) as dial,
        dial.talk(fake.peer, NEVER, Stop()) as conversation,
    ):
        yield conversation


def answering(*frames: bytes, pieces: int = 1 << 30) -> Behaviour:
    """Send these frames, whatever is asked, in such pieces."""

    def behave(line: Line) -> None:
        line.introduce()
        line.frame()
        data = b"".join(frames)
        for start in range(0, len(data), pieces):
            line.send(data[start : start + pieces])
        line.hold()

    return behave


def data_frame(number: int, data: bytes, *, end: bool = True) -> bytes:
    return Header(Kind.DATA, end, number, len(data)).encode() + data


def data(pipeline: Pipeline, length: int) -> bytes:
    answer = pipeline.data(length)
    assert not isinstance(answer, RefusedError)
    return bytes(answer)


def read_from(behaviour: Behaviour, length: int = 5, stall: float = SOON) -> None:
    """Read so many bytes of a peer that behaves like this."""
    with conversing(behaviour, stall) as conversation:
        pipeline = Pipeline(conversation, NEVER)
        pipeline.read(DIGEST, length)
        pipeline.flush()
        pipeline.data(length)


def test_a_real_server_answers_as_many_as_may_be_outstanding(tmp_path: Path) -> None:
    sizes = [0, 1, 11, 12, 13, 4096, 65_536, 70_000, 600_000]
    contents = [some_bytes(size, seed) for seed, size in enumerate(sizes)]
    with Honest(tmp_path) as server, contextlib.closing(dialer()) as dial:
        for number, content in enumerate(contents):
            server.put(str(number), content)
        with dial.talk(server.peer, NEVER, Stop()) as conversation:
            pipeline = Pipeline(conversation, NEVER)
            order = [random.Random(0).choice(contents) for _ in range(OUTSTANDING)]
            for content in order:
                pipeline.read(digest_of(content), len(content))
            pipeline.flush()
            for content in order:
                assert data(pipeline, len(content)) == content
            for content in contents:
                pipeline.stat(digest_of(content))
            pipeline.stat(NOWHERE)
            pipeline.flush()
            for content in contents:
                answer = pipeline.entry(digest_of(content))
                assert isinstance(answer, messages.Entry)
                assert answer.entry.size == len(content)
            assert isinstance(pipeline.entry(NOWHERE), RefusedError)
            assert conversation.idle


@pytest.mark.parametrize("pieces", [1, 7, 100_000])
def test_frames_may_come_in_pieces_and_with_others_between(pieces: int) -> None:
    unknown = Header(0x90, True, 9, 5).encode() + b"other"
    entry = messages.Entry(Entry(DIGEST, 5, ("x",)), NO_CHAIN)
    frames = (
        entry.frame(1),
        unknown,
        data_frame(2, b"he", end=False),
        unknown,
        data_frame(2, b"llo"),
        messages.Error(ErrorCode.STALE, 0, "no").frame(3),
        data_frame(4, b"bye"),
    )
    with conversing(answering(*frames, pieces=pieces)) as conversation:
        pipeline = Pipeline(conversation, NEVER)
        pipeline.stat(DIGEST)
        pipeline.read(DIGEST, 5)
        pipeline.read(DIGEST, 9)
        pipeline.read(DIGEST, 3)
        pipeline.flush()
        assert pipeline.entry(DIGEST) == entry
        assert data(pipeline, 5) == b"hello"
        refusal = pipeline.data(9)
        assert isinstance(refusal, RefusedError)
        assert refusal.code == "stale"
        assert data(pipeline, 3) == b"bye"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (data_frame(2, b"hello"), ProtocolError),
        (data_frame(1, b"hell"), ProtocolError),
        (data_frame(1, b"hello!"), ProtocolError),
        (data_frame(1, b"hello", end=False), ProtocolError),
        (messages.Entry(Entry(DIGEST, 5, ("x",)), NO_CHAIN).frame(1), ProtocolError),
        (messages.Error(ErrorCode.BAD_REQUEST, 0, "").frame(0), RefusedError),
        (b"HTTP/1.1 400 Bad\r\n", ProtocolError),
        (Header(Kind.DATA, True, 1, 5).encode() + b"hel", StalledError),
        (b"", StalledError),
    ],
)
def test_what_answers_no_read_ends_the_conversation(frame: bytes, error: type[PeerError]) -> None:
    with pytest.raises(error):
        read_from(answering(frame), stall=1.0 if error is StalledError else SOON)


def test_an_entry_of_another_file_ends_it() -> None:
    frame = messages.Entry(Entry(digest_of(b""), 0, ("x",)), NO_CHAIN).frame(1)
    with conversing(answering(frame)) as conversation:
        pipeline = Pipeline(conversation, NEVER)
        pipeline.stat(DIGEST)
        pipeline.flush()
        with pytest.raises(ProtocolError):
            pipeline.entry(DIGEST)


def test_a_peer_that_closes_is_lost() -> None:
    def leaving(line: Line) -> None:
        line.introduce()
        line.frame()

    with pytest.raises(LostError):
        read_from(leaving)


def test_a_byte_now_and_then_is_a_stall() -> None:
    def dripping(line: Line) -> None:
        line.introduce()
        line.frame()
        line.send(Header(Kind.DATA, True, 1, 5000).encode())
        while not line.stop.wait(0.05):
            line.send(b"x")

    with pytest.raises(StalledError, match="less than"):
        read_from(dripping, 5000, stall=1.0)
