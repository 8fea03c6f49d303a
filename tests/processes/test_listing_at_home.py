"""``pirate ls`` beside a real serve, which keeps what the others have: the same, and sooner."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from etcd_server import EtcdServer
from processes.network import fill
from processes.peers import Done, Serving, frozen, pirate, until


class Trio(NamedTuple):
    """The serve of this machine, two peers that it finds in etcd, and where it can be found."""

    home: Serving
    peers: tuple[Serving, Serving]
    state: Path

    def ls(self, *arguments: object) -> Done:
        """What the serve of this machine knows, or else who is near, and nobody is."""
        flags = ("--state", self.state, "--discovery", "auto", "--interface", "127.0.0.1")
        return pirate("ls", *flags, *arguments, seconds=60.0)

    def direct(self, *arguments: object) -> Done:
        """What those say who are asked one by one."""
        everybody = (self.home, *self.peers)
        named = (word for each in everybody for word in ("--peer", each.address))
        return pirate("ls", *named, *arguments, seconds=60.0)

    def files(self, *arguments: object) -> list[dict[str, Any]]:
        document = json.loads(self.ls("--json", *arguments).out)
        files: list[dict[str, Any]] = document["files"]
        return files


@pytest.fixture(name="trio")
def _trio(place: Path) -> Iterator[Trio]:
    with ExitStack() as stack:
        etcd = stack.enter_context(EtcdServer(place))
        there = ("--etcd", etcd.address, "--ttl", "60s")  # who stands still is not gone
        folder = fill(place / "one", {"a.iso": b"a", "sub/both.iso": b"both", "café": b"c"})
        other = fill(place / "two", {"both": b"both", "b.iso": b"b"})
        one, two = (stack.enter_context(Serving(each, *there)) for each in (folder, other))
        home = fill(place / "home", {"mine.iso": b"mine"})
        serve = stack.enter_context(Serving(home, *there, "--state", place / "state"))
        trio = Trio(serve, (one, two), place / "state")
        assert until(lambda: len(trio.files()) == 5)
        yield trio


def lines(done: Done) -> list[str]:
    assert done.code == 0
    return sorted(done.out.splitlines())


def test_the_serve_of_this_machine_tells_what_the_peers_themselves_say(trio: Trio) -> None:
    for words in ((), ("*.iso",), ("both",), ("*",), ("nothing",), ("caf?",), ("--long", "both")):
        assert lines(trio.ls(*words)) == lines(trio.direct(*words))
        here, there = (json.loads(how("--json", *words).out) for how in (trio.ls, trio.direct))
        assert here == there
    assert lines(trio.ls("--sums", "*.iso")) == lines(trio.direct("--sums", "*.iso"))


def test_it_tells_of_what_is_new_here_and_there(trio: Trio) -> None:
    assert trio.files("new") == []
    fill(trio.home.folder, {"new here": b"1"})
    fill(trio.peers[0].folder, {"new there": b"2"})
    for serve in (trio.home, *trio.peers):
        serve.rescan()
    assert until(lambda: len(trio.files("new")) == 2, seconds=60.0)


def test_it_goes_on_telling_what_it_knows_while_peers_stand_still(trio: Trio) -> None:
    known = trio.files()

    def told() -> bool:
        """Not at first, if the revision that was listed has not been announced yet."""
        with frozen(trio.peers[0]), frozen(trio.peers[1]):
            return trio.files() == known

    assert until(told, seconds=60.0)


def test_a_serve_that_stands_still_is_done_without(trio: Trio) -> None:
    with frozen(trio.home):
        assert trio.ls("--timeout", "20s").seconds < 20.0
    assert until(lambda: len(trio.files()) == 5)


def test_who_says_where_to_look_does_not_ask_the_serve(trio: Trio) -> None:
    peer = trio.peers[1].address
    with frozen(trio.home):
        for flags in (("--peer", peer, "--discovery", "static"), ("--on", peer)):
            assert len(json.loads(trio.ls("--json", *flags).out)["files"]) == 2
    assert trio.files("--on", "two") == trio.files("--on", peer)
