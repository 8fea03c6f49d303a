"""Holders that offer chains and lie, each alone and beside an honest one, in both orders."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from evil import Holder
from fake import Behaviour, Fake
from fetch.rig import STALL, Rig
from honest import QUICK, SOON, digest_of, some_bytes
from vouching import (
    alternates,
    another_chain,
    another_file,
    dies,
    fewer_states,
    flips,
    flips_some,
    freezes,
    honest,
    invents_one_state,
    invents_states,
    misnames_chain,
    more_states,
    mute_after_chain,
    rejoins,
    resized,
)

from pirate.chain import LEAST_SEGMENT, segments
from pirate.errors import IntegrityError, LiedError, PirateError, TimedOutError, TransferFailedError
from pirate.policy import plan
from pirate.policy.plan import LEAST_PATIENCE  # the real one

pytestmark = pytest.mark.leaves_part_file

KB = 1024
SIZE = 10 * LEAST_SEGMENT + 1000
SEGMENTS = segments(SIZE)
TRUTH = some_bytes(SIZE)
OTHER = some_bytes(SIZE, 1)
DIGEST = digest_of(TRUTH)

Make = Callable[[], Behaviour]

LIARS: dict[str, Make] = {
    "flips a bit of the first segment": lambda: flips(TRUTH, 0),
    "flips a bit of one in the middle": lambda: flips(TRUTH, SEGMENTS // 2),
    "flips a bit of the last segment": lambda: flips(TRUTH, -1),
    "lies on some segments": lambda: flips_some(TRUTH, {2, 5, 9}),
    "lies every other time": lambda: alternates(TRUTH),
    "sends another file": lambda: another_file(TRUTH, OTHER),
    "invents the states": lambda: invents_states(TRUTH),
    "invents the first state": lambda: invents_one_state(TRUTH, 0),
    "invents one state": lambda: invents_one_state(TRUTH, 4),
    "invents the last state": lambda: invents_one_state(TRUTH, -1),
    "joins the true chain early": lambda: rejoins(TRUTH, 2),
    "joins the true chain late": lambda: rejoins(TRUTH, SEGMENTS - 1),
    "has the chain of another file": lambda: another_chain(TRUTH, OTHER),
    "has that of a shorter one": lambda: another_chain(TRUTH, OTHER[: SIZE // 2]),
    "claims a byte more": lambda: resized(TRUTH, SIZE + 1),
    "claims a byte less": lambda: resized(TRUTH, SIZE - 1),
    "claims ten segments more": lambda: resized(TRUTH, SIZE + 10 * LEAST_SEGMENT),
    "claims one segment": lambda: resized(TRUTH, LEAST_SEGMENT),
    "claims nothing": lambda: resized(TRUTH, 0),
    "names another chain": lambda: misnames_chain(TRUTH),
}
FAILURES: dict[str, Make] = {
    "has a state too many": lambda: more_states(TRUTH),
    "has a state too few": lambda: fewer_states(TRUTH),
    "is mute when asked for its chain": lambda: mute_after_chain(TRUTH),
    "freezes in the first segment": lambda: freezes(TRUTH, 1000),
    "dies at once": lambda: dies(TRUTH, 0),
}
FLAKY: dict[str, Make] = {
    "freezes in the middle": lambda: freezes(TRUTH, SIZE // 2),
}
FLAKY |= {
    f"dies at {percent} %": lambda percent=percent: dies(TRUTH, SIZE * percent // 100)  # type: ignore[misc]
    for percent in (10, 50, 99)
}
ALL = LIARS | FAILURES | FLAKY


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "downloads", seconds=20.0)


def content(rig: Rig) -> bytes:
    return (rig.folder / "file").read_bytes()


def alone(rig: Rig, make: Make, error: type[PirateError]) -> None:
    rig.stall = STALL
    began = time.monotonic()
    with Fake(make(), name="evil") as fake, pytest.raises(error) as raised:
        rig.get(DIGEST, fake.peer)
    assert type(raised.value) is error
    assert rig.finished == set()
    assert time.monotonic() - began < SOON / 2


@pytest.mark.parametrize("make", LIARS.values(), ids=LIARS)
def test_a_liar_alone_is_an_integrity_error_and_no_file(rig: Rig, make: Make) -> None:
    alone(rig, make, IntegrityError)


@pytest.mark.parametrize("make", FAILURES.values(), ids=FAILURES)
def test_a_holder_alone_that_delivers_nothing_is_a_failed_transfer(rig: Rig, make: Make) -> None:
    alone(rig, make, TransferFailedError)


@pytest.mark.parametrize("make", FLAKY.values(), ids=FLAKY)
def test_a_holder_that_dies_again_and_again_gives_the_whole_file(rig: Rig, make: Make) -> None:
    rig.stall = STALL
    with Fake(make()) as fake:
        rig.get(DIGEST, fake.peer)
    assert content(rig) == TRUTH


@pytest.mark.parametrize("late", [0.0, 0.1], ids=["at once", "the honest one later"])
@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_one_honest_holder_suffices_beside_any_other(rig: Rig, make: Make, late: float) -> None:
    good = honest(TRUTH)
    good.hesitates = late
    with Fake(make(), name="evil") as fake, Fake(good, name="good") as truthful:
        _, received = rig.get(DIGEST, fake.peer, truthful.peer)
    assert content(rig) == TRUTH
    assert rig.finished == {"file"}
    assert received.size == SIZE
    assert {peer.name for peer, _, _ in rig.watcher.dropped_peers} <= {"evil"}
    assert sum(received.sources.values()) == received.received


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_one_honest_holder_suffices_if_the_other_comes_later(rig: Rig, make: Make) -> None:
    evil = make()
    assert isinstance(evil, Holder)
    evil.hesitates = 0.05
    with Fake(evil, name="evil") as fake, Fake(honest(TRUTH), name="good") as truthful:
        rig.get(DIGEST, fake.peer, truthful.peer)
    assert content(rig) == TRUTH
    assert {peer.name for peer, _, _ in rig.watcher.dropped_peers} <= {"evil"}


@pytest.mark.parametrize("make", LIARS.values(), ids=LIARS)
def test_a_liar_that_was_asked_is_named_once_as_such(rig: Rig, make: Make) -> None:
    good = honest(TRUTH)
    good.hesitates = 0.2
    with Fake(make(), name="evil") as fake, Fake(good, name="good") as truthful:
        rig.get(DIGEST, fake.peer, truthful.peer)
    names = [(peer.name, error.code) for peer, error, _ in rig.watcher.dropped_peers]
    assert names in ([("evil", "integrity")], [])
    assert rig.watcher.dropped_with(LiedError) <= {"evil"}


def test_what_a_holder_without_a_chain_wrote_is_not_taken_for_proven(rig: Rig) -> None:
    with Fake(flips(TRUTH, 5)) as fake, pytest.raises(IntegrityError):
        rig.get(DIGEST, fake.peer)
    evil = freezes(OTHER, SIZE + 50_000)
    evil.digest, evil.chain = DIGEST, None
    evil.size = SIZE + 100_000
    evil.hesitates = 0.03
    short = Holder(OTHER[:-1], DIGEST)
    with Fake(short) as first, Fake(evil) as then, pytest.raises(TimedOutError):
        Rig(rig.folder, seconds=3.0).get(DIGEST, first.peer, then.peer)
    assert rig.part(DIGEST).stat().st_size > SIZE
    last = Rig(rig.folder, seconds=20.0)
    with Fake(honest(TRUTH)) as fake:
        last.get(DIGEST, fake.peer)
    assert content(last) == TRUTH


def test_many_silent_holders_in_front_hold_up_no_segment_for_long(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "LEAST_PATIENCE", LEAST_PATIENCE)
    good = honest(TRUTH)
    good.hesitates = 0.1
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Fake(freezes(TRUTH, 0))).peer for _ in range(5)]
        rig.get(DIGEST, *silent, stack.enter_context(Fake(good)).peer)
    assert content(rig) == TRUTH
    assert time.monotonic() - began < QUICK


def test_a_chain_that_is_false_late_is_told_before_it_is_fetched(rig: Rig) -> None:
    good = honest(TRUTH)
    good.hesitates = 0.03
    with Fake(rejoins(TRUTH, SEGMENTS - 1), name="evil") as fake, Fake(good) as truthful:
        _, received = rig.get(DIGEST, fake.peer, truthful.peer)
    assert content(rig) == TRUTH
    assert received.received <= SIZE + 2 * LEAST_SEGMENT
