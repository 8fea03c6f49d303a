"""FIND, asked of a real finder that knows real peers, and some that are no good."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from evil import mute
from fake import Behaviour, Fake, Line, Proxy
from honest import SOON, Honest, dialer, hello
from processes.peers import nobody, until

from pirate import __version__
from pirate.catalogs import Catalogs
from pirate.model import Address, Announcement, Digest, Entry, Known, PeerId
from pirate.net.conversation import NOBODY
from pirate.scope import Scope
from pirate.serve import finder as module
from pirate.serve.finder import Finder
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run
from pirate.wire.messages import Find, Found

ME = PeerId(bytes([7] * 16))
OURS = Entry(Digest(bytes([1] * 20)), 1, ("ours",))

ALL = Find("", 1000 * int(SOON))
AT_ONCE = Find("", 0)


class Rig:
    """A finder, what it knows, and the announcements of peers at addresses."""

    def __init__(self, scope: Scope | None, room: float) -> None:
        self.announced = [self._announcement(ME, nobody())]
        self._dialer = dialer(stall=1.0)
        self.catalogs = Catalogs(self._dialer, room=room)
        self.finder = Finder(
            self.catalogs, lambda: Known(tuple(self.announced)), lambda: (ME, Catalog(1, [OURS]))
        )
        if scope:
            self.finder.start(scope)

    def close(self) -> None:
        self._dialer.close()

    def knows(self, address: Address, name: str, revision: int = 0) -> PeerId:
        peer = hello(name).peer
        self.announced.append(self._announcement(peer, address, revision))
        return peer

    def knows_honest(self, honest: Honest, address: Address | None = None) -> PeerId:
        """Be told of what it shares now, and that it does so at that address, or at its own."""
        revision = honest.library.catalog.revision
        return self.knows(address or honest.address, "honest", revision)

    def find(self, request: Find) -> list[Found]:
        return [each for each in self.finder.find(request) if each.peer != NOBODY]

    def codes(self, request: Find = ALL) -> dict[PeerId, str]:
        return {each.peer: each.code for each in self.find(request)}

    def names(self, pattern: str) -> dict[PeerId, list[str]]:
        found: dict[PeerId, list[str]] = {}
        for each in self.find(Find(pattern, 1000 * int(SOON))):
            entries = Run.of(each.entries)
            found.setdefault(each.peer, []).extend(name for one in entries for name in one.names)
        return found

    @staticmethod
    def _announcement(peer: PeerId, address: Address, revision: int = 0) -> Announcement:
        return Announcement(peer, "x", (address,), __version__, revision)


@contextlib.contextmanager
def rigged(room: float = 1 << 30) -> Iterator[Rig]:
    with Scope() as scope, contextlib.closing(Rig(scope, room)) as rig:
        yield rig


@pytest.fixture(name="rig")
def _rig() -> Iterator[Rig]:
    with rigged() as rig:
        yield rig


def test_what_matches_is_told_of_us_and_of_everybody(rig: Rig, honest: Honest) -> None:
    honest.put("a.iso", b"a")
    honest.put("b.bin", b"b")
    theirs = rig.knows_honest(honest)
    assert rig.names("") == {ME: ["ours"], theirs: ["a.iso", "b.bin"]}
    assert rig.names("*.iso") == {ME: [], theirs: ["a.iso"]}
    assert rig.names("ou") == {ME: ["ours"], theirs: []}


def test_nobody_is_asked_before_somebody_wants_to_know_nor_again_while_it_is_fresh(
    rig: Rig, honest: Honest
) -> None:
    proxy = Proxy(honest.address)
    with Fake(proxy, name="honest") as fake:
        rig.knows_honest(honest, fake.address)
        assert fake.accepted == 0
        rig.names("")
        sent = proxy.sent
        rig.names("x")
        rig.names("y")
        assert (fake.accepted, proxy.sent) == (1, sent)


def test_another_revision_that_is_announced_is_asked_for_at_once(rig: Rig, honest: Honest) -> None:
    honest.put("a", b"a")
    theirs = rig.knows_honest(honest)
    assert rig.names("")[theirs] == ["a"]
    honest.put("b", b"b")
    assert rig.names("")[theirs] == ["a"]
    rig.announced.pop()
    rig.knows_honest(honest)
    assert sorted(rig.names("")[theirs]) == ["a", "b"]


def test_a_long_catalog_takes_frames_that_each_fit(rig: Rig, honest: Honest) -> None:
    for number in range(1500):
        (honest.folder / (f"{number:04}" + "é" * 100)).write_bytes(str(number).encode())
    honest.scan()
    theirs = rig.knows_honest(honest)
    frames = [each for each in rig.find(ALL) if each.peer == theirs]
    assert len(frames) > 4
    assert all(each.frame(1) for each in frames)
    assert [entry for each in frames for entry in each.entries] == list(honest.library.catalog)


def test_why_a_peer_is_not_listed_is_told_in_its_place(rig: Rig, honest: Honest) -> None:
    honest.put("a", b"a")
    with Fake(mute) as silent:
        expected = {
            ME: "",
            rig.knows_honest(honest): "",
            rig.knows(nobody(), "dead"): "unreachable",
            rig.knows(silent.address, "silent"): "stall",
        }
        assert rig.codes() == expected


def held(go_on: threading.Event, behaviour: Behaviour) -> Behaviour:
    """Do that, but not before a test says so."""

    def hold(line: Line) -> None:
        assert go_on.wait(SOON)
        behaviour(line)

    return hold


def test_who_is_late_is_not_waited_for_but_listed_for_the_next_one(
    rig: Rig, honest: Honest
) -> None:
    honest.put("a", b"a")
    go_on = threading.Event()
    with Fake(held(go_on, Proxy(honest.address)), name="honest") as late:
        theirs = rig.knows_honest(honest, late.address)
        assert rig.codes(AT_ONCE) == {ME: "", theirs: "stall"}
        go_on.set()
        assert until(lambda: rig.codes(AT_ONCE)[theirs] == "")
        assert late.accepted == 1


def test_while_it_waits_it_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PULSE_SECONDS", 0.01)
    go_on = threading.Event()
    with Fake(held(go_on, mute), name="late") as late:
        rig.knows(late.address, "late")
        frames = rig.finder.find(ALL)
        assert [next(frames).peer for _ in range(3)] == [NOBODY] * 3
        go_on.set()
        assert {each.peer for each in frames} > {ME}


def test_who_asks_while_too_many_do_is_told_what_is_known_already(rig: Rig, share: Path) -> None:
    go_on = threading.Event()
    with Honest(share) as honest, Fake(held(go_on, mute), name="late") as late:
        fresh = rig.knows_honest(honest)
        assert rig.codes() == {ME: "", fresh: ""}
        slow = rig.knows(late.address, "late")
        for _ in range(module.SURVEYS):
            assert rig.codes(AT_ONCE)[slow] == "stall"
        assert rig.codes() == {ME: "", fresh: "", slow: "unasked"}
        go_on.set()
        assert until(lambda: rig.codes(AT_ONCE)[slow] == "stall")


def test_for_whose_catalog_there_is_no_room_has_to_be_asked_by_others(honest: Honest) -> None:
    for number in range(200):
        (honest.folder / f"{number}").write_bytes(str(number).encode())
    honest.scan()
    with rigged(room=20_000) as rig:
        theirs = rig.knows_honest(honest)
        assert rig.codes() == {ME: "", theirs: "unasked"}


def test_a_finder_that_has_not_begun_asks_nobody(honest: Honest) -> None:
    with contextlib.closing(Rig(None, 1 << 30)) as rig:
        theirs = rig.knows_honest(honest)
        assert rig.codes() == {ME: "", theirs: "unasked"}


def test_the_end_does_not_wait_for_who_is_asked() -> None:
    with Scope() as scope, contextlib.closing(Rig(scope, 1 << 30)) as rig, Fake(mute) as silent:
        peer = rig.knows(silent.address, "silent")
        assert rig.codes(AT_ONCE)[peer] == "stall"
        scope.stop.set()
        assert rig.codes()[peer] == "stall"
