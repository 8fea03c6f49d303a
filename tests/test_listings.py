"""What everybody has: told by the serve of this machine, or asked of each where that is no good."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from fake import Behaviour, Fake, GoneError, Line
from honest import Honest, hello

from pirate import record
from pirate.catalogs import Listing
from pirate.config import load
from pirate.disk.identity import Identity
from pirate.disk.state import State
from pirate.listings import matching
from pirate.model import Announcement, Digest, Entry, PeerId
from pirate.net import conversation
from pirate.network import Network
from pirate.wire import messages
from pirate.wire.messages import ErrorCode, Found

NOBODY = PeerId(bytes(16))
MADE_UP = Entry(Digest(b"m" * 20), 1, ("made up.iso",))

Say = Callable[[Line, int, messages.Find], None]


class Rig:
    """Two peers, which a serve of this machine knows, and who asks it."""

    def __init__(self, peers: dict[str, Honest], state: Path) -> None:
        self.peers = peers
        self.state = state
        announcements = [
            Announcement(hello(name).peer, name, (peer.address,), "1")
            for name, peer in peers.items()
        ]
        self.records = tuple(
            record.encode(each).decode() for each in sorted(announcements, key=lambda each: each.id)
        )

    def home(self, say: Say) -> Behaviour:
        """A serve that answers FIND so."""

        def serve(line: Line) -> None:
            line.introduce()
            while True:
                header, body = line.frame()
                match messages.decode(header, body):
                    case messages.Roster():
                        known = messages.Peers(len(self.records), 0, 0, self.records)
                        line.send(known.frame(header.request))
                    case messages.Find() as request:
                        say(line, header.request, request)

        return serve

    def ask(self, pattern: str, *homes: Say, **more: str) -> dict[str, list[str] | str]:
        """The names that each peer has, or a code, if those are the serves of this machine."""
        flags = {"state": str(self.state), "interfaces": ["127.0.0.1"], **more}
        state = State(str(self.state))
        with ExitStack() as stack:
            for say in homes:
                fake = stack.enter_context(Fake(self.home(say), name="home"))
                stack.enter_context(identity := Identity(state))
                identity.serving(fake.address)
            network = stack.enter_context(Network(load(flags, {}, os.devnull)))
            peers = network.everybody()
            assert {peer.name for peer in peers} == {*self.peers}
            found: dict[str, list[str] | str] = {}
            for peer, what in matching(network, peers, pattern):
                assert peer.name not in found
                if isinstance(what, Listing):
                    names = (name for entry in what.catalog for name in entry.names)
                    found[peer.name] = sorted(names)
                else:
                    found[peer.name] = what.code
            return found


@contextmanager
def running(folder: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        peers = {}
        for name in ("anne", "bess"):
            (folder / name).mkdir()
            peers[name] = stack.enter_context(Honest(folder / name, name=name))
            peers[name].put(f"{name}.iso", name.encode())
            peers[name].put("both" if name == "bess" else "both.iso", b"both")
        yield Rig(peers, folder / "state")


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as rig:
        yield rig


ANNE, BESS = hello("anne").peer, hello("bess").peer
DIRECT = {"anne": ["anne.iso", "both.iso"], "bess": ["bess.iso", "both"]}


def tell(*answers: Found) -> Say:
    """Answer with these, and the end."""

    def say(line: Line, number: int, _: messages.Find) -> None:
        for answer in answers:
            line.send(answer.frame(number, end=False))
        line.send(Found(NOBODY, "", "", ()).frame(number))

    return say


def refuse(code: ErrorCode) -> Say:
    def say(line: Line, number: int, _: messages.Find) -> None:
        line.send(messages.Error(code, 0, "").frame(number))

    return say


def die(_line: Line, _number: int, _request: messages.Find) -> None:
    raise GoneError


def keep_silent(line: Line, number: int, _: messages.Find) -> None:
    line.send(Found(ANNE, "", "", (MADE_UP,)).frame(number, end=False))
    line.hold()


def babble(line: Line, _number: int, _request: messages.Find) -> None:
    line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_the_serve_of_this_machine_is_believed_and_nobody_else_asked(rig: Rig) -> None:
    for peer in rig.peers.values():
        peer.stop.set()
        assert peer.ended.wait(20.0)
    told = tell(Found(ANNE, "", "", (MADE_UP,)), Found(BESS, "unreachable", "is gone", ()))
    assert rig.ask("*.iso", told) == {"anne": ["made up.iso"], "bess": "unreachable"}


@pytest.mark.parametrize(
    "say",
    [refuse(ErrorCode.UNSUPPORTED), refuse(ErrorCode.DENIED), die, babble, keep_silent, tell()],
)
def test_everybody_is_asked_where_that_serve_cannot_tell_or_falls_silent(
    rig: Rig, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "SILENCE_SECONDS", 0.2)
    assert rig.ask("*.iso", say) == DIRECT


@pytest.mark.parametrize("pattern", ["x" * 300, "\udcff*"])
def test_where_a_pattern_does_not_fit_the_question_everything_is_asked_for(
    rig: Rig, pattern: str
) -> None:
    asked: list[str] = []

    def say(line: Line, number: int, request: messages.Find) -> None:
        asked.append(request.pattern)
        tell(Found(ANNE, "", "", (MADE_UP,)), Found(BESS, "", "", ()))(line, number, request)

    assert rig.ask(pattern, say) == {"anne": ["made up.iso"], "bess": []}
    assert asked == [""]


def test_of_whom_it_does_not_tell_is_asked_and_all_is_wanted_of_the_others(rig: Rig) -> None:
    asked: list[str] = []

    def say(line: Line, number: int, request: messages.Find) -> None:
        asked.append(request.pattern)
        names = ("made up.iso",) if request.pattern else ("made up.iso", "other")
        entries = tuple(Entry(Digest(bytes([n] * 20)), 1, (x,)) for n, x in enumerate(names, 1))
        answers = (Found(ANNE, "", "", entries), Found(BESS, "unasked", "no room", ()))
        tell(*answers)(line, number, request)

    assert rig.ask("*.iso", say) == {"anne": ["made up.iso", "other"], "bess": DIRECT["bess"]}
    assert asked == ["*.iso", ""]


def test_whom_it_tells_of_and_nobody_knows_is_passed_over(rig: Rig) -> None:
    said = tell(*(Found(peer, "", "", (MADE_UP,)) for peer in (PeerId(b"x" * 16), ANNE, BESS)))
    names = ["made up.iso"]
    assert rig.ask("", said) == {"anne": names, "bess": names}


def test_of_two_serves_of_this_machine_what_either_knows_counts(rig: Rig) -> None:
    one = tell(Found(ANNE, "", "", (MADE_UP,)), Found(BESS, "unreachable", "", ()))
    other = tell(Found(ANNE, "stall", "", ()), Found(BESS, "", "", ()))
    expected = {"anne": ["made up.iso"], "bess": []}
    assert rig.ask("*", one, other) == rig.ask("*", other, one) == expected


def test_two_serves_that_each_know_one_peer_are_asked_for_everything(rig: Rig) -> None:
    def knows(peer: PeerId, name: str) -> Say:
        def say(line: Line, number: int, request: messages.Find) -> None:
            matches = not request.pattern or name == request.pattern
            entries = (Entry(Digest(b"d" * 20), 1, (name,)),) if matches else ()
            tell(Found(peer, "", "", entries))(line, number, request)

        return say

    found = rig.ask("a name", knows(ANNE, "a name"), knows(BESS, "another"))
    assert found == {"anne": ["a name"], "bess": ["another"]}


def test_the_serve_is_given_less_time_than_the_command_has(rig: Rig) -> None:
    patience: list[int] = []

    def say(line: Line, number: int, request: messages.Find) -> None:
        patience.append(request.patience_ms)
        tell(Found(ANNE, "", "", ()), Found(BESS, "", "", ()))(line, number, request)

    rig.ask("", say)
    rig.ask("", say, timeout="10s")
    assert patience[0] == 30_000
    assert 0 < patience[1] <= 8_000


def test_who_wants_it_fresh_does_not_ask_that_serve(rig: Rig) -> None:
    with Fake(rig.home(tell())) as fake, Identity(State(str(rig.state))) as identity:
        identity.serving(fake.address)
        settings = load({"state": str(rig.state)}, {}, os.devnull)
        with Network(settings) as network:
            assert [peer.addresses for peer in network.homes] == [(fake.address,)]
        with Network(settings, refresh=True) as network:
            assert network.homes == ()
