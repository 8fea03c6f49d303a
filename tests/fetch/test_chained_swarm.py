"""Many holders of one file: who lies, dawdles, comes and goes, and what that costs."""

import contextlib
import gc
import mmap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from campaigns.lying import unhurried
from evil import Holder, busy, liar, mute
from fake import Behaviour, Fake, Line
from fetch.rig import STALL, Rig
from honest import QUICK, SOON, Honest, digest_of, some_bytes
from vouching import (
    another_chain,
    dies,
    flips,
    freezes,
    honest,
    invents_one_state,
    mute_after_chain,
    rejoins,
    resized,
    slow,
)

from pirate.chain import LEAST_SEGMENT
from pirate.disk import sha1
from pirate.errors import PirateError, StoppedError, TimedOutError
from pirate.fetch import download
from pirate.fetch.landing import Landing
from pirate.fetch.target import Target
from pirate.model import Peer
from pirate.net import reach
from pirate.policy.connections import EARNED

pytestmark = pytest.mark.leaves_part_file

MB = 1024 * 1024
SIZE = 20 * LEAST_SEGMENT
TRUTH = some_bytes(SIZE)
DIGEST = digest_of(TRUTH)

# Long enough for a second connection.
LONG = some_bytes(4 * EARNED * LEAST_SEGMENT)

Make = Callable[[], Holder]

LIARS: list[Make] = [
    lambda: flips(TRUTH, 0),
    lambda: invents_one_state(TRUTH, 7),
    lambda: rejoins(TRUTH, 12),
    lambda: resized(TRUTH, SIZE + 1),
    lambda: another_chain(TRUTH, some_bytes(SIZE, 1)),
]


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "downloads", seconds=20.0)


def content(rig: Rig) -> bytes:
    return (rig.folder / "file").read_bytes()


def names(rig: Rig) -> list[str]:
    return [peer.name for peer, _, _ in rig.watcher.dropped_peers]


@contextlib.contextmanager
def faked(*holders: Behaviour) -> Iterator[list[Peer]]:
    """Peers that are named by their numbers."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(Fake(holder, name=str(number))).peer
            for number, holder in enumerate(holders)
        ]


@pytest.mark.parametrize("first", [True, False], ids=["liars first", "liars last"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_liars_cost_few_segments_and_are_the_only_ones_named(
    rig: Rig, count: int, *, first: bool
) -> None:
    liars = [make() for make in LIARS[:count]]
    good = honest(TRUTH)
    for holder in [good] if first else liars:
        holder.hesitates = 0.02
    with unhurried(), faked(good, *liars) as peers:
        _, received = rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert received.received - SIZE <= count * LEAST_SEGMENT
    assert "0" not in names(rig)
    assert len(names(rig)) == len(set(names(rig)))
    assert {error.code for _, error, _ in rig.watcher.dropped_peers} <= {"integrity"}


def test_a_holder_with_two_connections_is_dropped_once_with_what_both_brought(rig: Rig) -> None:
    rig.stall = STALL
    good = honest(LONG)
    good.until = lambda: rig.watcher.dropped_peers
    with faked(freezes(LONG, 28 * LEAST_SEGMENT), good) as peers:
        _, received = rig.get(digest_of(LONG), *peers)
    [(peer, error, sent)] = rig.watcher.dropped_peers
    assert (peer.name, error.code) == ("0", "stall")
    assert 32 * LEAST_SEGMENT < sent <= received.sources[peer]


def test_the_buffers_of_those_who_were_dropped_are_free_though_their_errors_are_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffers: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    class Pages(mmap.mmap):
        def __init__(self, *_: object) -> None:
            buffers.add(self)

    monkeypatch.setattr(mmap, "mmap", Pages)
    bad = flips(TRUTH, 3), dies(TRUTH, 1000), resized(TRUTH, SIZE + 1)
    with faked(*bad) as peers, pytest.raises(PirateError):
        rig.get(DIGEST, *peers)
    gc.collect()
    assert len(names(rig)) >= 3
    assert not buffers


def test_links_that_a_false_chain_shares_stay_proven(rig: Rig) -> None:
    false = invents_one_state(TRUTH, 15)
    good = honest(TRUTH)
    good.until = lambda: rig.watcher.dropped_peers
    with faked(false, good) as peers:
        _, received = rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert received.received <= SIZE + 2 * LEAST_SEGMENT
    assert good.sent <= 8 * LEAST_SEGMENT


# Who has a chain and who has none.


def test_a_holder_without_a_chain_suffices_when_all_that_offer_one_lie(rig: Rig) -> None:
    plain = Holder(TRUTH)
    with faked(flips(TRUTH, 3), plain) as peers:
        rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert names(rig) == ["0"]
    assert len(rig.watcher.entries) == 1, "it has started once"


def test_a_liar_without_a_chain_is_not_asked_beside_an_honest_holder_with_one(rig: Rig) -> None:
    false = liar(TRUTH)
    with faked(false, honest(TRUTH)) as peers:
        rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert false.reads == []


def test_a_holder_without_a_chain_does_not_wait_for_mute_peers(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SEARCH_SECONDS", SOON)
    monkeypatch.setattr(reach, "HELLO_SECONDS", SOON)
    began = time.monotonic()
    with faked(mute, Holder(TRUTH), mute) as peers:
        rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert time.monotonic() - began < QUICK


def test_a_holder_without_a_chain_waits_a_little_for_one_with_a_chain(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "UNCHAINED_SECONDS", SOON)
    good, plain = honest(TRUTH), Holder(TRUTH)
    good.hesitates = 0.1
    with faked(plain, good) as peers:
        rig.get(DIGEST, *peers)
    assert (plain.sent, content(rig)) == (0, TRUTH)


@pytest.mark.parametrize("count", [1, 3])
def test_without_a_library_for_chains_liars_beside_an_honest_holder_change_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(sha1, "available", lambda: False)
    with faked(*(make() for make in LIARS[:count]), honest(TRUTH)) as peers:
        rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert str(count) not in names(rig)


@pytest.mark.parametrize("chained", [True, False], ids=["by chain", "in one pass"])
@pytest.mark.parametrize(
    "size",
    [0, 1, *(LEAST_SEGMENT + by for by in (-1, 0, 1)), 5 * LEAST_SEGMENT, 3 * MB + 1],
)
def test_files_of_all_sizes_come_from_real_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, *, chained: bool
) -> None:
    truth = some_bytes(size, size)
    rig = Rig(tmp_path / "downloads")
    with contextlib.ExitStack() as stack:
        peers = []
        for number in range(3):
            (folder := tmp_path / str(number)).mkdir()
            server = stack.enter_context(Honest(folder, name=str(number)))
            server.put("file", truth)
            peers.append(server.peer)
        if not chained:
            monkeypatch.setattr(sha1, "available", lambda: False)
        _, received = rig.get(digest_of(truth), *peers)
    assert content(rig) == truth
    assert received.size == size
    assert size <= received.received <= 3 * size  # what dawdles comes twice
    assert names(rig) == []


# How many, and who comes and goes.


def test_a_lone_holder_earns_a_second_connection(rig: Rig) -> None:
    alone = honest(LONG)
    with Fake(alone) as fake:
        rig.get(digest_of(LONG), fake.peer)
        assert fake.accepted == 2
    assert sum(length for _, length in {*alone.reads}) == len(LONG)


def test_a_holder_beside_a_slow_one_earns_a_second_connection(rig: Rig) -> None:
    digest = digest_of(LONG)
    with Fake(honest(LONG)) as quick, Fake(slow(LONG, 4 * LEAST_SEGMENT)) as dawdling:
        rig.get(digest, dawdling.peer, quick.peer)
        assert (quick.accepted, dawdling.accepted) == (2, 1)


def test_a_second_connection_that_is_refused_is_not_asked_for_again(rig: Rig) -> None:
    good = honest(LONG)
    lines: list[Line] = []

    def alone(line: Line) -> None:
        lines.append(line)
        (busy if len(lines) > 1 else good)(line)

    with Fake(alone) as fake:
        rig.get(digest_of(LONG), fake.peer)
        assert fake.accepted == 2
    assert names(rig) == []


@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_holders_are_asked_than_allowed(rig: Rig, limit: int) -> None:
    rig.holders = limit
    holders = [slow(TRUTH, 4 * MB) for _ in range(4)]
    with faked(*holders) as peers:
        _, received = rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert len(received.sources) == limit


def test_holders_that_fail_again_and_again_do_not_keep_an_honest_one_out(rig: Rig) -> None:
    rig.holders, rig.stall = 1, STALL
    good = honest(TRUTH)
    good.hesitates = 0.1
    with faked(*(freezes(TRUTH, 0) for _ in range(4)), good) as peers:
        rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH


def test_a_holder_that_appears_later_joins_in(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LOOK_AGAIN_SECONDS", 0.1)
    there: list[Peer] = []
    first, second = slow(TRUTH, MB / 4), honest(TRUTH)
    with faked(first, second) as peers, rig.getter(there) as getter:
        there.append(peers[0])
        timer = threading.Timer(0.2, there.append, [peers[1]])
        timer.start()
        with Target(str(rig.folder), (), "file", rig.if_exists) as target:
            getter.to_target(DIGEST, target)
        timer.join()
    assert content(rig) == TRUTH
    assert second.sent > SIZE // 2


def test_newcomers_are_looked_for_less_often_among_very_many() -> None:
    assert download.look_again_seconds(3) == download.LOOK_AGAIN_SECONDS
    assert download.look_again_seconds(10_000) == 40 * download.LOOK_AGAIN_SECONDS


def test_mute_peers_do_not_make_the_looks_for_newcomers_rarer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.stall = 2 * SOON
    monkeypatch.setattr(download, "LOOK_AGAIN_SECONDS", 3.0)
    monkeypatch.setattr(download, "SEARCH_SECONDS", 3.0)
    there: list[Peer] = []
    began = time.monotonic()
    with (
        faked(mute, freezes(TRUTH, SIZE // 3), honest(TRUTH)) as peers,
        rig.getter(there) as getter,
        Target(str(rig.folder), (), "file", rig.if_exists) as target,
    ):
        there += peers[:2]
        timer = threading.Timer(0.2, there.append, [peers[2]])
        timer.start()
        getter.to_target(DIGEST, target)
        timer.join()
    assert content(rig) == TRUTH
    assert time.monotonic() - began < 5.5, "the search takes 3 s, and there is another after it"


def test_a_lost_holders_segments_come_from_another(rig: Rig) -> None:
    lost = dies(TRUTH, 5 * LEAST_SEGMENT + 1000)
    with faked(lost, slow(TRUTH, 10 * MB)) as peers:
        _, received = rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert received.received <= SIZE + 4 * LEAST_SEGMENT


# Time.


def test_mute_peers_hold_up_nothing(rig: Rig) -> None:
    began = time.monotonic()
    with faked(mute, mute_after_chain(TRUTH), honest(TRUTH)) as peers:
        rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert time.monotonic() - began < QUICK


def test_a_holder_that_freezes_in_a_segment_is_overtaken(rig: Rig) -> None:
    frozen = freezes(TRUTH, LEAST_SEGMENT // 2)
    began = time.monotonic()
    with faked(honest(TRUTH), frozen) as peers:
        rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert time.monotonic() - began < QUICK


def test_a_lone_holder_that_freezes_is_left_after_the_stall_timeout(rig: Rig) -> None:
    rig.stall = STALL
    frozen = freezes(TRUTH, SIZE // 3)
    began = time.monotonic()
    with faked(frozen) as peers:
        rig.get(DIGEST, *peers)
    assert content(rig) == TRUTH
    assert time.monotonic() - began < SOON / 2


IDLE: dict[str, Make] = {
    "all but one wait": lambda: freezes(TRUTH, 0),
    "all receive": lambda: freezes(TRUTH, LEAST_SEGMENT + 1000),
    "all are slow": lambda: slow(TRUTH, LEAST_SEGMENT),
    "all wait for chains": lambda: mute_after_chain(TRUTH),
}


@pytest.mark.parametrize("make", IDLE.values(), ids=IDLE)
@pytest.mark.parametrize("error", [StoppedError, TimedOutError])
def test_a_stop_and_a_deadline_end_all_fetchers(
    rig: Rig, make: Make, error: type[Exception]
) -> None:
    timer = threading.Timer(0.3, rig.stop.set)
    if error is StoppedError:
        timer.start()
    else:
        rig.seconds = 0.3
    began = time.monotonic()
    with faked(make(), make(), make()) as peers, pytest.raises(error):
        rig.get(DIGEST, *peers)
    assert time.monotonic() - began < QUICK
    timer.cancel()
    assert names(rig) == []


def test_a_stop_ends_the_hashing_of_what_is_here_from_before(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.folder.mkdir()
    rig.part(DIGEST).write_bytes(TRUTH)

    def slowly(*_: object) -> bool:
        rig.stop.set()
        time.sleep(0.5)
        return True

    monkeypatch.setattr(Landing, "_proves", slowly)
    began = time.monotonic()
    with faked(honest(TRUTH)) as peers, pytest.raises(StoppedError):
        rig.get(DIGEST, *peers)
    assert time.monotonic() - began < QUICK, "there are 10 s of it"
