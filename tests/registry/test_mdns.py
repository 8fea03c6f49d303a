"""What is particular to mDNS: nobody keeps anything for all, and anybody may have said it."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace

import pytest
from registry.rigs import LOOPBACK, NOWHERE, SOON, announcement, fails_in_time, service, until
from zeroconf import ServiceInfo, Zeroconf

from pirate.deadline import Deadline
from pirate.errors import ClashError, RegistryError
from pirate.model import Address, Announcement, PeerId
from pirate.registry import ear, mdns, txt
from pirate.registry.mdns import MdnsRegistry

OURS = announcement(3)
THEIRS = announcement(4)

PROCESS = """
import sys
sys.path[:0] = {path!r}
from pirate.deadline import Deadline
from registry.rigs import announcement
from pirate.registry.mdns import MdnsRegistry
registry = MdnsRegistry({ttl}, interfaces=({interface!r},), service={service!r})
registry.announce(announcement({number}), Deadline(20.0))
print("announced", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is alone need not wait long: tests wait until something holds."""
    monkeypatch.setattr(mdns, "COLD_SECONDS", 0.3)


@pytest.fixture(name="kind")
def _kind() -> str:
    return service()


@pytest.fixture(name="handle")
def _handle(kind: str) -> Iterator[Callable[..., MdnsRegistry]]:
    with ExitStack() as stack:

        def handle(ttl: float = 15.0) -> MdnsRegistry:
            registry = MdnsRegistry(ttl, interfaces=(LOOPBACK,), service=kind)
            return stack.enter_context(closing(registry))

        yield handle


@contextmanager
def another_process(kind: str, number: int, ttl: float = 15.0) -> Iterator[subprocess.Popen[str]]:
    code = PROCESS.format(path=sys.path, ttl=ttl, interface=LOOPBACK, service=kind, number=number)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "announced\n"
            yield process
        finally:
            process.kill()


@contextmanager
def stranger() -> Iterator[Zeroconf]:
    """Somebody else's mDNS on the same LAN."""
    with closing(Zeroconf([LOOPBACK])) as zeroconf:
        yield zeroconf


def say(
    zeroconf: Zeroconf, kind: str, name: str, data: bytes, *, ttl: int = 16, goodbye: bool = False
) -> None:
    info = ServiceInfo(
        kind, f"{name}.{kind}", 7070, properties=data, server="x.local.", other_ttl=ttl
    )
    zeroconf.send(zeroconf.generate_service_broadcast(info, 0 if goodbye else None))


def heard(registry: MdnsRegistry, seconds: float = SOON) -> set[Announcement]:
    peers = registry.peers(Deadline(seconds))
    return {peer.announcement for peer in peers if peer.announcement}


def test_the_found_say_how_they_were_found(handle: Callable[..., MdnsRegistry]) -> None:
    registry = handle()
    registry.announce(OURS, Deadline(SOON))
    (peer,) = registry.peers(Deadline(SOON))
    assert peer.via == ("mdns",)


def test_a_change_is_heard_by_those_who_listen(handle: Callable[..., MdnsRegistry]) -> None:
    ours, theirs = handle(), handle()
    ours.announce(OURS, Deadline(SOON))
    assert until(lambda: heard(theirs) == {OURS})
    changed = replace(OURS, revision=7, files=3, size=99)
    ours.announce(changed, Deadline(SOON))
    assert until(lambda: heard(theirs) == {changed})


def test_a_goodbye_is_heard_long_before_the_lease_runs_out(
    handle: Callable[..., MdnsRegistry],
) -> None:
    ours, theirs = handle(ttl=3600.0), handle()
    ours.announce(OURS, Deadline(SOON))
    assert until(lambda: heard(theirs) == {OURS})
    ours.withdraw(Deadline(SOON))
    assert until(lambda: not heard(theirs))


@pytest.mark.parametrize("later", [{replace(OURS, revision=7)}, set()], ids=["change", "goodbye"])
def test_an_answer_that_waited_for_its_turn_takes_nothing_back(
    handle: Callable[..., MdnsRegistry], later: set[Announcement]
) -> None:
    ours, theirs = handle(), handle()
    ours.announce(OURS, Deadline(SOON))  # so its answer to all has to wait for a second
    assert until(lambda: heard(theirs) == {OURS})
    for each in later:
        ours.announce(each, Deadline(SOON))
    if not later:
        ours.withdraw(Deadline(SOON))
    assert until(lambda: heard(theirs) == later)
    assert not until(lambda: heard(theirs) != later, 2.0)


def test_a_goodbye_of_who_has_only_answered_directly_is_heard(
    handle: Callable[..., MdnsRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = handle(), handle()
    ours.announce(OURS, Deadline(SOON))  # so its answer to all has to wait for a second
    monkeypatch.setattr(theirs, "_browser", object())  # it does not ask all
    assert until(lambda: heard(theirs) == {OURS})
    ours.withdraw(Deadline(SOON))
    assert until(lambda: not heard(theirs))


def test_closing_without_a_withdrawal_says_goodbye_too(
    handle: Callable[..., MdnsRegistry],
) -> None:
    ours, theirs = handle(), handle()
    ours.announce(OURS, Deadline(SOON))
    assert until(lambda: heard(theirs) == {OURS})
    ours.close()
    assert until(lambda: not heard(theirs))


def test_two_processes_of_one_host_see_each_other(
    kind: str, handle: Callable[..., MdnsRegistry]
) -> None:
    registry = handle()
    registry.announce(OURS, Deadline(SOON))
    with another_process(kind, 4):
        assert until(lambda: heard(registry) == {OURS, THEIRS})


def test_a_process_that_was_killed_is_forgotten_and_may_come_back_under_its_id(
    kind: str, handle: Callable[..., MdnsRegistry]
) -> None:
    registry = handle()
    assert not heard(registry)  # but it listens now
    with another_process(kind, 4, ttl=2.0):
        assert until(lambda: heard(registry) == {THEIRS})
    assert until(lambda: not heard(registry))
    with another_process(kind, 4):
        assert until(lambda: heard(registry) == {THEIRS})


def test_who_has_no_heartbeat_any_more_is_not_told_of_to_newcomers(
    handle: Callable[..., MdnsRegistry],
) -> None:
    ours, theirs = handle(ttl=2.0), handle()
    assert not heard(theirs)  # but it listens now
    ours.announce(OURS, Deadline(SOON))
    assert until(lambda: heard(theirs) == {OURS})
    assert until(lambda: not heard(theirs))
    assert not heard(handle())


def test_the_first_answer_comes_when_all_who_answer_directly_have_done_so(
    handle: Callable[..., MdnsRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mdns, "COLD_SECONDS", 60.0)
    ours, theirs = handle(), handle()
    ours.announce(OURS, Deadline(SOON))
    start = time.monotonic()
    assert heard(theirs, 60.0) == {OURS}
    assert time.monotonic() - start < 30.0


def test_who_gets_no_direct_answer_hears_what_is_said_to_all(
    handle: Callable[..., MdnsRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: object) -> None:
        """As behind a firewall that lets nothing in but port 5353."""

    ours, theirs = handle(), handle()
    ours.announce(OURS, Deadline(SOON))
    monkeypatch.setattr(theirs, "_ask", ask)
    assert until(lambda: heard(theirs) == {OURS})


def test_only_who_asks_first_waits_and_never_past_the_deadline(
    handle: Callable[..., MdnsRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mdns, "COLD_SECONDS", 60.0)
    registry = handle()
    start = time.monotonic()
    assert registry.peers(Deadline(2.0)) == ()
    assert registry.peers(Deadline(60.0)) == ()
    assert time.monotonic() - start < 30.0


POISON = [
    b"",
    b"\xff",
    b"\x09txtvers=1\xff",
    txt.encode(OURS)[:-4],
    txt.encode(OURS).replace(b"127.0.0.3", b"localhost"),
    txt.encode(OURS).replace(b"revision=0", b"revision=x"),
    txt.encode(OURS) + b"\xff" + b"x" * 255 + b"\x09name=\xff\xff\xff\xff",
    (b"\xff" + b"x" * 255) * 5,
]


def test_what_is_no_announcement_is_left_out_and_logged_once(
    kind: str, handle: Callable[..., MdnsRegistry], caplog: pytest.LogCaptureFixture
) -> None:
    registry = handle()
    assert not heard(registry)
    with stranger() as zeroconf:
        for number, data in enumerate(POISON):
            say(zeroconf, kind, str(PeerId(bytes([number]) * 16)), data)
        for name in ("printer", "0" * 33, f"{OURS.id}.more"):
            say(zeroconf, kind, name, txt.encode(OURS))
        say(zeroconf, kind, str(THEIRS.id), txt.encode(THEIRS))
        assert until(lambda: heard(registry) == {THEIRS})
    assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 1


def test_at_most_so_many_are_kept(
    kind: str, handle: Callable[..., MdnsRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ear, "PEERS_LIMIT", 3)
    registry = handle()
    assert not heard(registry)
    with stranger() as zeroconf:
        for number in range(10, 20):
            say(zeroconf, kind, str(PeerId(bytes([number]) * 16)), txt.encode(OURS))
        assert until(lambda: len(registry.peers(Deadline(SOON))) == 3)
        say(zeroconf, kind, str(PeerId(bytes([10]) * 16)), b"", goodbye=True)
        assert until(lambda: len(registry.peers(Deadline(SOON))) == 2)


def test_nobody_counts_for_as_long_as_he_likes(
    kind: str, handle: Callable[..., MdnsRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ear, "LONGEST_SECONDS", 2.0)
    registry = handle()
    assert not heard(registry)
    with stranger() as zeroconf:
        say(zeroconf, kind, str(OURS.id), txt.encode(OURS), ttl=2**31 - 1)
        assert until(lambda: heard(registry) == {OURS})
        assert until(lambda: not heard(registry))


def test_nobody_says_goodbye_for_us(kind: str, handle: Callable[..., MdnsRegistry]) -> None:
    registry = handle()
    registry.announce(OURS, Deadline(SOON))
    assert heard(registry) == {OURS}
    with stranger() as zeroconf:
        say(zeroconf, kind, str(OURS.id), txt.encode(OURS), goodbye=True)
        say(zeroconf, kind, str(THEIRS.id), txt.encode(THEIRS))
        assert until(lambda: heard(registry) == {OURS, THEIRS})


def test_another_peer_that_bears_our_id_is_told_apart(
    handle: Callable[..., MdnsRegistry],
) -> None:
    ours, theirs = handle(), handle()
    first = replace(OURS, instance="1" * 32)
    ours.announce(first, Deadline(SOON))
    elsewhere = (Address("127.0.0.77", 7070),)
    theirs.announce(replace(OURS, instance="2" * 32, addresses=elsewhere), Deadline(SOON))

    def clashes() -> bool:
        try:
            ours.announce(first, Deadline(SOON))
        except ClashError:
            return True
        return False

    assert until(clashes)
    ours.announce(replace(first, id=THEIRS.id), Deadline(SOON))
    assert until(lambda: {peer.id for peer in theirs.peers(Deadline(SOON))} == {OURS.id, THEIRS.id})


def test_what_an_earlier_run_left_behind_is_no_clash(
    kind: str, handle: Callable[..., MdnsRegistry]
) -> None:
    registry = handle()
    registry.announce(replace(OURS, instance="2" * 32), Deadline(SOON))
    with stranger() as zeroconf:
        say(zeroconf, kind, str(OURS.id), txt.encode(replace(OURS, instance="1" * 32)))
        say(zeroconf, kind, str(THEIRS.id), txt.encode(THEIRS))
        assert until(lambda: THEIRS in heard(registry))
    registry.announce(replace(OURS, instance="2" * 32), Deadline(SOON))


def test_a_host_without_the_interface_says_so() -> None:
    with closing(MdnsRegistry(interfaces=(NOWHERE,))) as registry:
        with pytest.raises(RegistryError, match=NOWHERE):
            registry.peers(Deadline(SOON))
        with pytest.raises(RegistryError, match="no mDNS here"):
            registry.announce(OURS, Deadline(SOON))
        registry.withdraw(Deadline(SOON))


def test_a_thread_of_zeroconf_that_hangs_holds_nobody_up(
    handle: Callable[..., MdnsRegistry],
) -> None:
    registry, hangs = handle(), threading.Event()
    registry.announce(OURS, Deadline(SOON))
    zeroconf = registry._zeroconf
    assert zeroconf
    assert zeroconf.loop
    zeroconf.loop.call_soon_threadsafe(hangs.wait)
    try:
        assert fails_in_time(lambda deadline: registry.announce(OURS, deadline), 0.2)
        assert fails_in_time(registry.peers, 0.2)
        assert fails_in_time(registry.withdraw, 0.2)
        start = time.monotonic()
        registry.close()
        assert time.monotonic() - start < SOON
    finally:
        hangs.set()
        zeroconf.close()


def test_nothing_is_said_when_the_deadline_has_passed(
    handle: Callable[..., MdnsRegistry],
) -> None:
    registry = handle()
    for step in (lambda late: registry.announce(OURS, late), registry.peers):
        with pytest.raises(RegistryError, match="no time left"):
            step(Deadline(0.0))


def test_zeroconf_is_loaded_by_nobody_who_does_not_use_it() -> None:
    code = "import pirate.node, sys; sys.exit('zeroconf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
