"""One download and holders that come, go, freeze, lie and restart."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from evil import Holder, dying, frozen, liar, miser, mute, oversized, truly
from fake import Fake, Line, Proxy
from fetch.rig import STALL, Rig
from honest import QUICK, SOON, Honest, digest_of, some_bytes

from pirate.chain import segment_size
from pirate.errors import (
    BusyError,
    IntegrityError,
    LiedError,
    LocalIOError,
    LostError,
    StoppedError,
    TimedOutError,
    TransferFailedError,
)
from pirate.fetch.target import Verdict

KB, MB = 1024, 1024 * 1024
TRUTH = some_bytes(3 * MB)
DIGEST = digest_of(TRUTH)


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "downloads")


def content(rig: Rig) -> bytes:
    return (rig.folder / "file").read_bytes()


def edges() -> list[int]:
    around = (256 * KB, MB, 4 * MB, 8 * MB)
    return [0, 1, *(size + by for size in around for by in (-1, 0, 1)), 9 * MB + 12345]


@pytest.mark.parametrize("size", edges())
def test_a_file_of_any_size_arrives_as_it_is(rig: Rig, honest: Honest, size: int) -> None:
    digest = honest.put("file", some_bytes(size, size))
    verdict, received = rig.get(digest, honest.peer)
    assert verdict is Verdict.WANTED
    assert digest_of(content(rig)) == digest
    assert (received.size, received.resumed) == (size, 0)
    assert size <= received.received <= 2 * size  # what dawdles comes twice
    assert rig.watcher.done[-1:] == ([size] if size else [])


# Falling over.


def test_another_holder_goes_on_where_one_has_died(rig: Rig) -> None:
    late = Holder(TRUTH, until=lambda: rig.watcher.dropped_peers)
    with Fake(dying(TRUTH, MB), name="dying") as first, Fake(late) as next_:
        _, received = rig.get(DIGEST, first.peer, next_.peer)
    assert content(rig) == TRUTH
    assert received.received == len(TRUTH)
    assert rig.watcher.dropped_with(LostError) == {"dying"}
    assert sorted(received.sources.values()) == [MB, 2 * MB]


def test_a_holder_that_freezes_is_left_for_another_that_goes_on(rig: Rig) -> None:
    rig.stall = STALL
    sent: list[int] = []

    def pay(line: Line, number: int, data: bytes) -> None:
        if sent:
            line.hold()
        sent.append(number)
        truly(line, number, data)

    slow = Holder(TRUTH, pay=pay)
    content_of_16 = some_bytes(16 * MB)
    slow.content, slow.digest, slow.size = content_of_16, digest_of(content_of_16), 16 * MB
    with Fake(slow) as fake, Fake(Holder(content_of_16, hesitates=0.2)) as good:
        began = time.monotonic()
        _, received = rig.get(slow.digest, fake.peer, good.peer)
    assert content(rig) == content_of_16
    assert received.received == 16 * MB
    assert time.monotonic() - began < QUICK


def test_a_holder_that_dies_again_and_again_is_asked_until_the_file_is_whole(rig: Rig) -> None:
    with Fake(dying(TRUTH, 600 * KB)) as fake:
        _, received = rig.get(DIGEST, fake.peer)
        assert fake.accepted > 4
    assert content(rig) == TRUTH
    assert received.received == len(TRUTH)


def test_a_server_that_restarts_is_found_again(rig: Rig, honest: Honest) -> None:
    honest.put("file", TRUTH)
    proxy = Proxy(honest.address, cut=[MB, 0])
    with Fake(proxy) as fake:
        _, received = rig.get(DIGEST, fake.peer)
    assert content(rig) == TRUTH
    assert len(TRUTH) <= received.received <= proxy.sent
    assert len(TRUTH) < proxy.sent < len(TRUTH) + 2 * segment_size(len(TRUTH)) + 2 * KB


def test_holders_that_die_at_once_are_given_up_and_what_came_before_is_kept(rig: Rig) -> None:
    rig.folder.mkdir()
    rig.part(DIGEST).write_bytes(TRUTH[:MB])
    with Fake(dying(TRUTH, 0)) as fake, pytest.raises(TransferFailedError, match=f"{MB} bytes"):
        rig.get(DIGEST, fake.peer)
    assert rig.part(DIGEST).read_bytes() == TRUTH[:MB]
    rig.part(DIGEST).unlink()


# Mixtures and what is left from before.


def test_a_mixture_that_is_wrong_is_fetched_again_from_one_holder_alone(rig: Rig) -> None:
    poison = dying(b"\0" + TRUTH[1:], MB)
    poison.digest = DIGEST
    late = Holder(TRUTH, until=lambda: rig.watcher.dropped_peers)
    with Fake(poison, name="poison") as first, Fake(late) as good:
        _, received = rig.get(DIGEST, first.peer, good.peer)
    assert content(rig) == TRUTH
    assert received.received == MB + 2 * MB + 3 * MB
    assert rig.watcher.dropped_with(LiedError) == set()


def test_a_mixture_with_a_liar_convicts_the_liar(rig: Rig) -> None:
    lies = liar(TRUTH)
    lies.until = lambda: rig.watcher.dropped_peers
    late = Holder(TRUTH, until=lambda: rig.watcher.dropped_with(LiedError))
    with (
        Fake(dying(TRUTH, MB), name="dying") as first,
        Fake(lies, name="liar") as second,
        Fake(late, name="good") as good,
    ):
        rig.get(DIGEST, first.peer, second.peer, good.peer)
    assert content(rig) == TRUTH
    assert rig.watcher.dropped_with(LiedError) == {"liar"}


def test_two_flaky_holders_complete_a_file_together_after_a_liar(rig: Rig) -> None:
    with (
        Fake(liar(TRUTH), name="liar") as bad,
        Fake(dying(TRUTH, 600 * KB)) as one,
        Fake(dying(TRUTH, 600 * KB)) as other,
    ):
        rig.get(DIGEST, one.peer, bad.peer, other.peer)
    assert content(rig) == TRUTH


@pytest.mark.leaves_part_file
def test_holders_that_only_undo_each_others_work_are_given_up(rig: Rig) -> None:
    rig.seconds = 10.0
    with (
        Fake(dying(TRUTH, MB), name="one") as one,
        Fake(dying(TRUTH, MB), name="other") as other,
    ):
        assert isinstance(other.behaviour, Holder)
        other.behaviour.size = 4 * MB
        with pytest.raises(TransferFailedError):
            rig.get(DIGEST, one.peer, other.peer)


def test_what_an_earlier_run_left_is_not_fetched_again(rig: Rig) -> None:
    rig.folder.mkdir()
    rig.part(DIGEST).write_bytes(TRUTH[: 2 * MB + 77])
    holder = Holder(TRUTH)
    with Fake(holder) as fake:
        _, received = rig.get(DIGEST, fake.peer)
    assert content(rig) == TRUTH
    assert received.resumed == rig.watcher.resumed == 2 * MB + 77
    assert received.received == MB - 77
    assert holder.reads[0][0] == 2 * MB + 77


def test_a_part_file_that_is_whole_needs_no_bytes(rig: Rig) -> None:
    rig.folder.mkdir()
    rig.part(DIGEST).write_bytes(TRUTH)
    with Fake(Holder(TRUTH)) as fake:
        _, received = rig.get(DIGEST, fake.peer)
    assert (content(rig), received.received) == (TRUTH, 0)


@pytest.mark.parametrize(
    "left",
    [b"\0" * MB, TRUTH[: MB - 1] + b"!", TRUTH + b"!", bytes(4 * MB), b"\0" * len(TRUTH), b"x"],
)
def test_whatever_lies_there_from_before_the_file_ends_right(rig: Rig, left: bytes) -> None:
    rig.folder.mkdir()
    rig.part(DIGEST).write_bytes(left)
    with Fake(dying(TRUTH, 2 * MB)) as one, Fake(dying(TRUTH, 2 * MB)) as other:
        rig.get(DIGEST, one.peer, other.peer)
        assert rig.watcher.dropped_with(LiedError) == set()
    assert content(rig) == TRUTH


@pytest.mark.parametrize("size", [0, 10, 4 * MB, 2**64 - 1])
def test_a_claim_alone_does_not_cost_what_is_there(rig: Rig, size: int) -> None:
    rig.folder.mkdir()
    rig.part(DIGEST).write_bytes(TRUTH[: 2 * MB])
    rig.stall = STALL
    claims = frozen(TRUTH)
    claims.size = size
    with Fake(claims) as fake, Fake(Holder(TRUTH, hesitates=0.2)) as good:
        _, received = rig.get(DIGEST, fake.peer, good.peer)
    assert content(rig) == TRUTH
    assert received.received == MB


def test_a_claim_that_fits_no_disk_is_a_local_error_if_nobody_claims_less(rig: Rig) -> None:
    with Fake(oversized(TRUTH, 2**50)) as fake, pytest.raises(LocalIOError, match="no space"):
        rig.get(DIGEST, fake.peer)
    assert rig.finished == set()


@pytest.mark.leaves_part_file
def test_an_empty_file_is_got_whatever_lies_there_from_before(rig: Rig) -> None:
    empty = digest_of(b"")
    rig.folder.mkdir()
    rig.part(empty).write_bytes(b"something")
    with Fake(Holder(b"")) as fake:
        rig.get(empty, fake.peer)
    assert content(rig) == b""
    assert not rig.part(empty).exists()


# Time.


@pytest.mark.leaves_part_file
@pytest.mark.parametrize(
    "make", [lambda: mute, lambda: frozen(TRUTH), lambda: miser(TRUTH, seconds=0.05)]
)
def test_a_deadline_ends_it_whatever_the_peer_does(rig: Rig, make: Callable[[], Holder]) -> None:
    rig.seconds = 0.3
    began = time.monotonic()
    with Fake(make()) as fake, pytest.raises(TimedOutError):
        rig.get(DIGEST, fake.peer)
    assert 0.25 < time.monotonic() - began < QUICK


@pytest.mark.leaves_part_file
@pytest.mark.parametrize(
    "make",
    [lambda: mute, lambda: frozen(TRUTH), lambda: miser(TRUTH), lambda: dying(TRUTH, 70 * KB)],
)
def test_a_stop_ends_it_whatever_the_peer_does(rig: Rig, make: Callable[[], Holder]) -> None:
    timer = threading.Timer(0.2, rig.stop.set)
    timer.start()
    began = time.monotonic()
    with Fake(make()) as fake, pytest.raises(StoppedError):
        rig.get(DIGEST, fake.peer)
    assert time.monotonic() - began < QUICK
    timer.join()


def test_two_that_get_the_same_file_at_once_are_told_apart(rig: Rig, tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def pay(line: Line, number: int, data: bytes) -> None:
        begun.set()
        assert go_on.wait(SOON)
        truly(line, number, data)

    with Fake(Holder(TRUTH, pay=pay)) as fake:
        first = threading.Thread(target=lambda: rig.get(DIGEST, fake.peer))
        first.start()
        assert begun.wait(SOON)
        with pytest.raises(BusyError):
            Rig(tmp_path / "downloads", name="other").get(DIGEST, fake.peer)
        go_on.set()
        first.join()
    assert rig.finished == {"file"}
    assert content(rig) == TRUTH


def test_a_file_that_nobody_sends_right_leaves_nothing_wrong_for_the_next_run(rig: Rig) -> None:
    with Fake(liar(TRUTH)) as fake, pytest.raises(IntegrityError):
        rig.get(DIGEST, fake.peer)
    assert not rig.part(DIGEST).exists()
    with Fake(Holder(TRUTH)) as fake:
        Rig(rig.folder).get(DIGEST, fake.peer)
    assert content(rig) == TRUTH
