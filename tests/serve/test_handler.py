import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fake import GoneError, Line, client
from fetch.rig import Rig
from honest import SOON, Honest, dialer, digest_of, some_bytes

from pirate.catalogs import Catalogs
from pirate.chain import Chain
from pirate.disk.tree import Shares
from pirate.errors import PirateError
from pirate.library import Library
from pirate.model import Address, Announcement, Digest, Entry, Known, PeerId
from pirate.net.channel import Channel
from pirate.net.conversation import NOBODY
from pirate.scope import Scope
from pirate.serve import handler as handler_module
from pirate.serve.finder import Finder
from pirate.serve.handler import Handler
from pirate.wire import messages
from pirate.wire.frames import CONTROL_LIMIT, DATA_LIMIT, HEADER_SIZE, Header, Kind
from pirate.wire.messages import ErrorCode

MB = 1024 * 1024
FIRST = Digest(bytes(20))
OLD = 10**18
ME = PeerId(b"m" * 16)


@pytest.fixture(name="line")
def _line(honest: Honest) -> Iterator[Line]:
    with client(honest.address) as line:
        yield line


def answer(line: Line, request: messages.Request) -> messages.Message:
    line.send(request.frame(1))
    header, body = line.frame()
    assert (header.request, header.end) == (1, True)
    return messages.decode(header, body)


def code(line: Line, request: messages.Request) -> int:
    told = answer(line, request)
    assert isinstance(told, messages.Error)
    assert "/" not in told.reason
    return told.code


def entries(line: Line, request: messages.List) -> tuple[list[Entry], int]:
    """What a LIST is answered with, and in how many frames."""
    line.send(request.frame(1))
    found: list[Entry] = []
    frames = 0
    while True:
        header, body = line.frame()
        assert header.length <= CONTROL_LIMIT
        found += messages.Entries.decode(body).entries
        frames += 1
        if header.end:
            return found, frames


def test_a_file_that_is_shared_is_described(honest: Honest, line: Line) -> None:
    digest = honest.put("folder/file", b"content")
    entry = answer(line, messages.Stat(digest))
    assert entry == messages.Entry(Entry(digest, 7, ("folder/file",)), Chain(digest, 7, b"").name)


def test_a_long_catalog_takes_frames_that_each_fit_and_comes_in_order(
    honest: Honest, line: Line
) -> None:
    for number in range(1500):
        name = f"{number:04}" + "é" * 100
        (honest.folder / name).write_bytes(str(number).encode())
    honest.scan()
    found, frames = entries(line, messages.List(0, FIRST, 10_000))
    assert found == list(honest.library.catalog)
    assert frames > 4
    some, frames = entries(line, messages.List(0, found[9].digest, 5))
    assert (some, frames) == (found[10:15], 1)
    assert entries(line, messages.List(0, found[-1].digest, 5)) == ([], 1)
    assert entries(line, messages.List(0, FIRST, 0)) == ([], 1)
    assert entries(line, messages.List(honest.library.catalog.revision, FIRST, 9)) == ([], 1)


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 0), (0, 1), (5, 0), (3 * MB + 5, 0), (0, 3 * MB + 5), (MB - 1, 2), (7, 2 * MB)],
)
def test_a_range_inside_the_file_is_sent(
    honest: Honest, line: Line, offset: int, length: int
) -> None:
    content = some_bytes(3 * MB + 5)
    digest = honest.put("file", content)
    line.send(messages.Read(digest, offset, length).frame(1))
    data = b""
    while True:
        header, body = line.frame()
        assert header.kind == Kind.DATA
        assert header.length <= DATA_LIMIT
        data += body
        if header.end:
            break
    assert data == content[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(0, 11), (10, 1), (11, 0), (2**64 - 1, 2**32 - 1)])
def test_a_range_that_is_not_inside_is_refused_and_the_connection_goes_on(
    honest: Honest, line: Line, offset: int, length: int
) -> None:
    digest = honest.put("file", b"0123456789")
    assert code(line, messages.Read(digest, offset, length)) == ErrorCode.RANGE
    assert code(line, messages.Read(digest_of(b"x"), 0, 1)) == ErrorCode.NOT_FOUND


def test_a_file_that_has_changed_or_gone_is_stale(honest: Honest, line: Line) -> None:
    path = honest.folder / "file"
    for change in (lambda: path.write_bytes(b"other"), path.unlink):
        path.unlink(missing_ok=True)
        digest = honest.put("file", b"0123456789")
        change()
        assert code(line, messages.Read(digest, 0, 1)) == ErrorCode.STALE


def large(honest: Honest) -> tuple[Path, Digest]:
    path = honest.folder / "large"
    digest = honest.put("large", some_bytes(32 * MB))
    os.utime(path, ns=(OLD, OLD))
    honest.scan()
    return path, digest


def test_a_change_in_the_middle_of_an_answer_takes_the_place_of_its_next_frame(
    honest: Honest, line: Line
) -> None:
    path, digest = large(honest)
    line.send(messages.Read(digest, 0, 32 * MB).frame(1))
    line.frame()
    os.utime(path)
    while (frame := line.frame())[0].kind == Kind.DATA:
        assert not frame[0].end
    told = messages.decode(*frame)
    assert isinstance(told, messages.Error)
    assert told.code == ErrorCode.STALE
    assert code(line, messages.Read(digest_of(b"x"), 0, 1)) == ErrorCode.NOT_FOUND


def test_a_file_that_shrinks_in_the_middle_of_an_answer_ends_the_connection_or_is_stale(
    honest: Honest, line: Line
) -> None:
    path, digest = large(honest)
    line.send(messages.Read(digest, 0, 32 * MB).frame(1))
    line.exactly(1000)
    os.truncate(path, 16)
    with contextlib.suppress(GoneError):
        rest = line.exactly(32 * MB)
        raise AssertionError(len(rest))
    with client(honest.address) as other:
        assert code(other, messages.Read(digest_of(b"x"), 0, 1)) == ErrorCode.NOT_FOUND


@pytest.mark.leaves_part_file
@pytest.mark.parametrize("how", ["rewrite", "replace", "truncate", "extend"])
def test_a_file_that_changes_while_it_is_got_is_never_taken_for_what_it_was(
    honest: Honest, tmp_path: Path, how: str
) -> None:
    path = honest.folder / "file"
    versions = [some_bytes(2 * MB, seed) for seed in range(2)]
    changing = threading.Event()

    def change(scope: Scope) -> None:
        turn = 0
        while not scope.stop.wait(0.002):
            turn += 1
            content = versions[turn % 2]
            match how:
                case "rewrite":
                    with path.open("r+b") as file:
                        file.write(content)
                case "replace":
                    path.with_name(".new").write_bytes(content)
                    path.with_name(".new").rename(path)
                case "truncate":
                    path.write_bytes(content[: MB * (1 + turn % 2)])
                case "extend":
                    path.write_bytes(content + b"!" * (turn % 3))
            honest.scan()
            changing.set()

    digest = honest.put("file", versions[0])
    with Scope() as scope:
        scope.spawn("change", lambda: change(scope))
        assert changing.wait(SOON)
        for number in range(15):
            rig = Rig(tmp_path / f"{number}", seconds=1.0)
            with contextlib.suppress(PirateError):
                rig.get(digest, honest.peer)
                assert digest_of((rig.folder / "file").read_bytes()) == digest
            assert rig.finished <= {"file"}
    with client(honest.address) as line:
        assert code(line, messages.Read(digest_of(b"x"), 0, 1)) == ErrorCode.NOT_FOUND


STATE = messages.State(
    *(1, 2, "", (), (), 3, 4, 1, 0, 0, 0, 0, 1, 0, 5, "", "", 0, 1, 6),
)


def asked_from(host: str, reached: str, state: Callable[[], messages.State] | None) -> int:
    """The kind of frame that STATUS is answered with to a guest from that host."""
    ours, theirs = socket.socketpair()
    with ours, theirs, TemporaryDirectory() as folder:
        channel = Channel(ours, stall=SOON)
        handler = Handler(Library(Shares([folder]), rescan=SOON))
        handler.state = state
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(handler_module, "seen", lambda _: Address(reached, 7070))
            handler.answer(channel, 1, messages.Status(), host)
        return Header.decode(theirs.recv(HEADER_SIZE)).kind


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "10.0.0.3"])
def test_whoever_is_on_this_machine_is_told_how_it_is(host: str) -> None:
    assert asked_from(host, "10.0.0.3", lambda: STATE) == Kind.STATE


@pytest.mark.parametrize("host", ["10.0.0.4", "128.0.0.1", "fe80::1", "", "local"])
def test_nobody_else_is(host: str) -> None:
    assert asked_from(host, "10.0.0.3", lambda: STATE) == Kind.ERROR


def test_without_anything_to_tell_it_is_refused(line: Line) -> None:
    assert code(line, messages.Status()) == ErrorCode.DENIED


def test_a_server_that_looks_for_nobody_says_so(line: Line) -> None:
    assert code(line, messages.Find("", 1000)) == ErrorCode.UNSUPPORTED


def test_only_who_is_on_this_machine_is_told_what_others_have(honest: Honest, share: Path) -> None:
    digest = honest.put("file", b"1")
    known = Known((Announcement(ME, "me", (honest.address,), "1"),))
    with contextlib.closing(dialer()) as dial:
        finder = Finder(Catalogs(dial), lambda: known, lambda: (ME, honest.library.catalog))
        handler = Handler(honest.library, finder=finder)

        def elsewhere(channel: Channel, number: int, request: messages.Request, _: str) -> None:
            handler.answer(channel, number, request, "192.0.2.1")

        with Honest(share, answer=elsewhere) as server, client(server.address) as line:
            assert code(line, messages.Find("", 1000)) == ErrorCode.DENIED
        with Honest(share, answer=handler.answer) as server, client(server.address) as line:
            line.send(messages.Find("", 1000).frame(1))
            frames = [line.frame() for _ in range(2)]
    told = [messages.Found.decode(body) for _, body in frames]
    assert [header.end for header, _ in frames] == [False, True]
    assert [(each.peer, [one.digest for one in each.entries]) for each in told] == [
        (ME, [digest]),
        (NOBODY, []),
    ]
