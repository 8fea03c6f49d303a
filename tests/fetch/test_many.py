"""Many files at once: small ones by pipelined requests, from any number of peers."""

import contextlib
import errno
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from evil import Pay, truly
from fake import Fake, Line
from fetch.rig import Watcher
from honest import QUICK, SOON, Honest, dialer, digest_of, some_bytes

from pirate.chain import NO_CHAIN
from pirate.deadline import Deadline
from pirate.disk.partfile import PartFile
from pirate.disk.tree import PART_SUFFIX
from pirate.errors import (
    ExistsError,
    LocalIOError,
    NoNetworkError,
    NotFoundError,
    StoppedError,
)
from pirate.fetch import batch as batches
from pirate.fetch import target
from pirate.fetch.batch import Folders, Landed, Named
from pirate.fetch.errand import SMALL_BYTES
from pirate.fetch.many import Many
from pirate.fetch.target import IfExists, Verdict
from pirate.fetch.terms import HOLDERS, Terms
from pirate.fetch.wishes import Outcome, Wish, Wishes
from pirate.model import Address, Digest, Entry, Peer
from pirate.scope import Scope, Stop
from pirate.throttle import Throttle
from pirate.wire import messages
from pirate.wire.messages import ErrorCode

FILES = {f"d{i % 3}/f{i}": some_bytes(i * 37, i) for i in range(200)}
GONE = Peer((Address("127.0.0.1", 1),))


@dataclass
class Shelf:
    """Answers STAT and READ for these files; ``sizes`` are what it says instead of the truth."""

    files: dict[str, bytes]
    pay: Pay = truly
    sizes: dict[Digest, int] = field(default_factory=dict)
    reads: int = 0
    stats: int = 0

    def __call__(self, line: Line) -> None:
        contents = {digest_of(content): (name, content) for name, content in self.files.items()}
        line.introduce()
        while True:
            header, body = line.frame()
            request = messages.decode(header, body)
            assert isinstance(request, messages.Stat | messages.Read)
            if request.digest not in contents:
                line.send(messages.Error(ErrorCode.NOT_FOUND, 0, "").frame(header.request))
                continue
            name, content = contents[request.digest]
            if isinstance(request, messages.Stat):
                self.stats += 1
                size = self.sizes.get(request.digest, len(content))
                entry = Entry(request.digest, size, (name,))
                line.send(messages.Entry(entry, NO_CHAIN).frame(header.request))
            else:
                self.reads += 1
                self.pay(line, header.request, content[: request.length])


@dataclass
class Rig:
    """What a test may choose before it calls ``get``."""

    folder: Path
    if_exists: IfExists = IfExists.FAIL
    seconds: float = math.inf
    patient: bool = False
    holders: int = HOLDERS
    throttle: Throttle | None = None
    stall: float = SOON
    stop: Stop = field(default_factory=Stop)
    watcher: Watcher = field(default_factory=Watcher)
    later: set[str] = field(default_factory=set)
    widen: Callable[[], bool] = lambda: False

    def run(self, files: dict[str, bytes], *peers: Peer) -> Iterator[tuple[str, Outcome]]:
        """Get these files by their names."""
        wishes = [wish(name, content) for name, content in files.items()]
        return self.wished(wishes, list(files), peers)

    def wished(
        self, wishes: Sequence[Wish], names: Sequence[str], peers: Sequence[Peer]
    ) -> Iterator[tuple[str, Outcome]]:
        with contextlib.closing(dialer(stall=self.stall)) as dial:
            deadline = Deadline(self.seconds)
            terms = Terms(dial, self.watcher, deadline, self.stop, self.holders, self.throttle)
            several = Wishes(wishes, str(self.folder), self.if_exists)
            many = Many(several, terms, patient=self.patient)
            with contextlib.closing(many.run(lambda: peers, self.widen)) as outcomes:
                for outcome in outcomes:
                    yield names[outcome.number], outcome
            assert len(many.later) == len(set(many.later))
            self.later = {names[number] for number in many.later}

    def get(self, files: dict[str, bytes], *peers: Peer) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        for name, outcome in self.run(files, *peers):
            assert name not in outcomes
            outcomes[name] = outcome
        assert outcomes.keys() | self.later == files.keys()
        assert not outcomes.keys() & self.later
        return outcomes

    @property
    def there(self) -> dict[str, bytes]:
        """All files below the folder, hidden ones too."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }


def wish(name: str, content: bytes) -> Wish:
    *parts, last = name.split("/")
    return Wish(digest_of(content), tuple(parts), last)


def share(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "downloads")


# What is simple.


def test_all_come_by_one_connection_and_nothing_is_left(rig: Rig, tmp_path: Path) -> None:
    with Honest(share(tmp_path / "share", FILES)) as server:
        outcomes = rig.get(FILES, server.peer)
    assert {outcome.verdict for outcome in outcomes.values()} == {Verdict.WANTED}
    assert rig.there == FILES
    for name, outcome in outcomes.items():
        assert outcome.path == str(rig.folder / name)
        received = outcome.received
        assert received.size == received.received == len(FILES[name])
        assert [peer.name for peer in received.sources] == ["honest"]


def test_a_file_is_told_of_only_when_it_has_its_name(rig: Rig) -> None:
    with Fake(Shelf(FILES)) as fake:
        for name, _ in rig.run(FILES, fake.peer):
            assert (rig.folder / name).read_bytes() == FILES[name]


def test_each_peer_gives_what_it_has(rig: Rig) -> None:
    halves: list[dict[str, bytes]] = [{}, {}, {}]
    for number, (name, content) in enumerate(FILES.items()):
        halves[number % 3][name] = content
    with Fake(Shelf(halves[0])) as a, Fake(Shelf(halves[1])) as b, Fake(Shelf(halves[2])) as c:
        rig.get(FILES, a.peer, GONE, b.peer, c.peer)
        assert max(a.accepted, b.accepted, c.accepted) == 1
    assert rig.there == FILES


def test_what_is_there_already_costs_no_network(rig: Rig) -> None:
    share(rig.folder, FILES)
    outcomes = rig.get(FILES, GONE)
    assert {outcome.verdict for outcome in outcomes.values()} == {Verdict.PRESENT}
    assert sum(outcome.received.received for outcome in outcomes.values()) == 0


def test_what_is_large_is_left_for_later(rig: Rig) -> None:
    files = {"small": b"s", "large": b"l"}
    shelf = Shelf(files, sizes={digest_of(b"l"): SMALL_BYTES + 1})
    with Fake(shelf) as fake:
        assert rig.get(files, fake.peer).keys() == {"small"}
    assert (rig.later, shelf.reads) == ({"large"}, 1)


def test_without_a_name_the_holder_gives_one_made_safe(rig: Rig) -> None:
    files = {"../a": b"1", "b/.c": b"2", "d": b"3"}
    share(rig.folder, {"d": b"3"})
    wishes = [Wish(digest_of(content), (), None) for content in files.values()]
    shelf = Shelf(files)
    with Fake(shelf) as fake:
        outcomes = dict(rig.wished(wishes, list(files), [fake.peer]))
    assert rig.there == {"a": b"1", "_c": b"2", "d": b"3"}
    assert outcomes["d"].verdict is Verdict.PRESENT
    assert shelf.reads == 2


def test_the_same_content_under_several_names_comes_to_all(rig: Rig) -> None:
    files = {"a/x": b"same", "b/x": b"same"}
    with Fake(Shelf(files)) as fake:
        rig.get(files, fake.peer)
    assert rig.there == files


def test_a_limit_on_speed_is_kept(rig: Rig) -> None:
    files = {str(seed): some_bytes(4000, seed) for seed in range(12)}
    rig.throttle = Throttle(64 * 1024)
    began = time.monotonic()
    with Fake(Shelf(files)) as fake:
        rig.get(files, fake.peer)
    assert rig.there == files
    assert time.monotonic() - began > 48_000 / 65_536 - 0.2


def test_under_a_limit_on_speed_files_flow(rig: Rig) -> None:
    """What has come is not left unread while more is waited for."""
    files = {str(seed): some_bytes(4000, seed) for seed in range(40)}
    rig.throttle = Throttle(64 * 1024)
    with Fake(Shelf(files)) as fake:
        came = [time.monotonic() for _ in rig.run(files, fake.peer)]
    assert came[-1] - came[0] > 40 * 4000 / 65_536 / 2


def test_more_files_than_a_batch_may_have_come_in_several(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    publish = batches.publish
    monkeypatch.setattr(batches, "MOST_FILES", 8)

    def counted(batch: Sequence[Landed], folders: Folders) -> Iterator[Named]:
        sizes.append(len(batch))
        return publish(batch, folders)

    monkeypatch.setattr("pirate.fetch.many.publish", counted)
    with Fake(Shelf(FILES)) as fake:
        rig.get(FILES, fake.peer)
    assert rig.there == FILES
    assert max(sizes) == 8


# Names that are taken.


@pytest.mark.parametrize(
    ("if_exists", "kept"),
    [
        (IfExists.FAIL, {"a": b"mine"}),
        (IfExists.SKIP, {"a": b"mine"}),
        (IfExists.OVERWRITE, {"a": b"theirs"}),
        (IfExists.RENAME, {"a": b"mine", "a (2)": b"theirs"}),
    ],
)
def test_other_content_is_treated_as_the_user_says(
    rig: Rig, if_exists: IfExists, kept: dict[str, bytes]
) -> None:
    share(rig.folder, {"a": b"mine"})
    rig.if_exists = if_exists
    files = {"a": b"theirs", "b": b"more"}
    with Fake(Shelf(files)) as fake:
        outcomes = rig.get(files, fake.peer)
    assert rig.there == kept | {"b": b"more"}
    failed = isinstance(outcomes["a"].error, ExistsError)
    assert failed == (if_exists is IfExists.FAIL)
    if if_exists is IfExists.SKIP:
        assert outcomes["a"].verdict is Verdict.SKIPPED


def test_a_name_that_is_taken_meanwhile_is_left_for_later_and_not_touched(rig: Rig) -> None:
    files = {"a": b"one", "b": b"two"}

    def take(line: Line, number: int, data: bytes) -> None:
        (rig.folder / "a").write_bytes(b"mine")
        truly(line, number, data)

    rig.folder.mkdir()
    with Fake(Shelf(files, pay=take)) as fake:
        rig.get(files, fake.peer)
    assert rig.later == {"a"}
    assert rig.there == {"a": b"mine", "b": b"two"}


def test_what_another_process_is_getting_is_left_for_later(rig: Rig) -> None:
    files = {"a": b"one", "b": b"two"}
    rig.folder.mkdir()
    folder = os.open(rig.folder, os.O_RDONLY)
    with Fake(Shelf(files)) as fake, PartFile(folder, digest_of(b"one")):
        rig.get(files, fake.peer)
    os.close(folder)
    assert rig.later == {"a"}
    assert rig.there == {"b": b"two"}


@pytest.mark.leaves_part_file
def test_what_an_earlier_run_has_left_goes_on_by_itself(rig: Rig) -> None:
    part = f".{digest_of(b'one')}{PART_SUFFIX}"
    share(rig.folder, {part: b"o"})
    shelf = Shelf({"a": b"one", "b": b"two"})
    with Fake(shelf) as fake:
        rig.get(shelf.files, fake.peer)
    assert (rig.later, shelf.reads) == ({"a"}, 1)
    assert rig.there == {part: b"o", "b": b"two"}


# Trouble.


def test_one_failure_does_not_stop_the_others(rig: Rig) -> None:
    files = {"a": b"one", "not/there": b"nobody has it", "b": b"two", "file/below": b"three"}
    share(rig.folder, {"file": b"no folder"})
    with Fake(Shelf({"a": b"one", "b": b"two", "c": b"three"})) as fake:
        outcomes = rig.get(files, fake.peer)
    assert isinstance(outcomes["not/there"].error, NotFoundError)
    assert isinstance(outcomes["file/below"].error, LocalIOError)
    assert rig.there == {"a": b"one", "b": b"two", "file": b"no folder"}
    assert not (rig.folder / "not").exists()


def test_if_nobody_answers_it_says_so(rig: Rig) -> None:
    outcomes = rig.get({"a": b"one"}, GONE)
    assert isinstance(outcomes["a"].error, NoNetworkError)


def test_who_is_patient_leaves_for_later_what_nobody_has(rig: Rig) -> None:
    rig.patient = True
    with Fake(Shelf({})) as fake:
        assert not rig.get({"a": b"one"}, fake.peer)
    assert rig.later == {"a"}


def test_a_liar_spoils_nothing_and_is_asked_for_no_more_after_three(rig: Rig) -> None:
    def lie(line: Line, number: int, data: bytes) -> None:
        truly(line, number, bytes(len(data) - 1) + b"!")

    files = {str(seed): some_bytes(500, seed) for seed in range(300)}
    with Fake(Shelf(files, pay=lie)) as liar, Fake(Shelf(files)) as honest:
        rig.get(files, liar.peer)
        assert rig.later == files.keys()
        assert not rig.there
        rig.get(files, liar.peer, honest.peer)
        assert rig.there == files
        assert rig.later == set()


def test_one_rotten_file_costs_no_other(rig: Rig) -> None:
    def rot(line: Line, number: int, data: bytes) -> None:
        truly(line, number, b"!" + data[1:] if data == FILES["d1/f7"] else data)

    with Fake(Shelf(FILES, pay=rot)) as fake:
        rig.get(FILES, fake.peer)
        assert fake.accepted == 1
    assert rig.later == {"d1/f7"}
    assert rig.there == {name: FILES[name] for name in FILES if name != "d1/f7"}


def test_a_peer_that_breaks_off_is_asked_again_as_long_as_it_brings_something(rig: Rig) -> None:
    left: dict[Line, int] = {}

    def tire(line: Line, number: int, data: bytes) -> None:
        left[line] = left.get(line, 30) - 1
        if left[line] < 0:
            line.sock.shutdown(socket.SHUT_WR)
            line.hold()
        truly(line, number, data)

    with Fake(Shelf(FILES, pay=tire)) as fake:
        rig.get(FILES, fake.peer)
        assert fake.accepted == -(-len(FILES) // 30)
    assert rig.there == FILES


def test_what_a_frozen_peer_owes_others_bring(rig: Rig) -> None:
    rig.stall = 1.0
    with (
        Fake(Shelf(FILES, pay=lambda line, *_: line.hold())) as frozen,
        Fake(Shelf(FILES)) as honest,
    ):
        began = time.monotonic()
        rig.get(FILES, frozen.peer, honest.peer)
    assert rig.there == FILES
    assert time.monotonic() - began < QUICK


def test_mute_peers_keep_nobody_from_being_asked(rig: Rig) -> None:
    rig.stall = 1.0
    with contextlib.ExitStack() as stack:
        mute = [stack.enter_context(Fake(lambda line: line.hold())) for _ in range(12)]
        honest = stack.enter_context(Fake(Shelf(FILES)))
        began = time.monotonic()
        rig.get(FILES, *(fake.peer for fake in mute), honest.peer)
    assert rig.there == FILES
    assert time.monotonic() - began < QUICK


def test_when_time_is_over_the_rest_is_left_to_say_so(rig: Rig) -> None:
    rig.seconds = 0.3
    with Fake(Shelf(FILES, pay=lambda line, *_: line.hold())) as fake:
        assert not rig.get(FILES, fake.peer)
    assert rig.later == FILES.keys()
    assert not rig.there


def test_a_stop_ends_it_at_once_and_leaves_no_part_files(rig: Rig) -> None:
    rig.stop = Stop()

    def slow(line: Line, number: int, data: bytes) -> None:
        line.stop.wait(0.02)
        truly(line, number, data)

    with Fake(Shelf(FILES, pay=slow)) as fake, Scope() as scope:
        outcomes = rig.run(FILES, fake.peer)
        next(outcomes)
        scope.spawn("stop", rig.stop.set)
        began = time.monotonic()
        with pytest.raises(StoppedError):
            list(outcomes)
        assert time.monotonic() - began < SOON / 4
    assert rig.there.keys() <= FILES.keys()
    assert all(FILES[name] == content for name, content in rig.there.items())


def test_if_nobody_has_some_others_are_looked_for(rig: Rig) -> None:
    files = {"a": b"one", "b": b"two"}
    with Fake(Shelf({"a": b"one"})) as near, Fake(Shelf(files)) as far:
        peers = [near.peer]

        def widen() -> bool:
            peers.append(far.peer)
            return len(peers) == 2

        rig.widen = widen
        wishes = [wish(name, content) for name, content in files.items()]
        outcomes = dict(rig.wished(wishes, list(files), peers))
        assert near.accepted == 1
    assert {outcome.verdict for outcome in outcomes.values()} == {Verdict.WANTED}


def test_a_disk_that_fails_is_told_for_each_and_no_name_is_given(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise LocalIOError("cannot write to the disk")

    monkeypatch.setattr(batches, "flush", broken)
    with Fake(Shelf(FILES)) as fake:
        outcomes = rig.get(FILES, fake.peer)
    assert all(isinstance(outcome.error, LocalIOError) for outcome in outcomes.values())
    assert not rig.there


def synced(monkeypatch: pytest.MonkeyPatch, *, well: bool = True) -> list[str]:
    """The folders that are synced from now on since they hold one that was made."""
    folders: list[str] = []

    def sync(folder: str) -> None:
        folders.append(folder)
        if not well:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(target, "sync_folder", sync)
    return folders


def test_of_many_new_folders_each_that_holds_them_is_synced_before_a_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "GATHER_SECONDS", SOON)
    monkeypatch.setattr(batches, "most_files", lambda: 8)
    folders = synced(monkeypatch)
    out = tmp_path / "new"
    files = {f"d{i}/f": some_bytes(9, i) for i in range(8)}
    with Fake(Shelf(files)) as fake:
        for _ in Rig(out).run(files, fake.peer):
            assert sorted(folders) == [str(tmp_path), str(out)]
    assert len(folders) == 2


def test_files_in_a_new_folder_that_cannot_be_synced_are_not_told_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = synced(monkeypatch, well=False)
    files = {"new/f": b"content"}
    with Fake(Shelf(files)) as fake:
        [(_, outcome)] = Rig(tmp_path).run(files, fake.peer)
    assert isinstance(outcome.error, LocalIOError)
    assert set(folders) == {str(tmp_path)}


def test_a_folder_that_was_there_needs_no_sync_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = synced(monkeypatch)
    (tmp_path / "old").mkdir()
    with Fake(Shelf({"old/f": b"content"})) as fake:
        [_] = Rig(tmp_path).run({"old/f": b"content"}, fake.peer)
    assert not folders
