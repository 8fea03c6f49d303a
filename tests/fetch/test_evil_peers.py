"""Every evil peer, alone and beside an honest one: never a wrong byte under a final name."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from evil import (
    Babbler,
    Holder,
    busy,
    dying,
    frozen,
    ghost,
    glutton,
    http,
    late_ghost,
    liar,
    long,
    miser,
    misnamed,
    mute,
    old,
    oversized,
    short,
    stale,
)
from fake import Behaviour, Fake, Line
from fetch.rig import STALL, Rig
from honest import SOON, Honest, digest_of, some_bytes

from pirate.errors import (
    IntegrityError,
    LiedError,
    LocalIOError,
    NoNetworkError,
    NotFoundError,
    PirateError,
    TransferFailedError,
)
from pirate.fetch.target import Verdict
from pirate.model import Address, Peer

pytestmark = pytest.mark.leaves_part_file

TRUTH = some_bytes(700_000)
DIGEST = digest_of(TRUTH)

Make = Callable[[], Behaviour]

EVIL: dict[str, tuple[Make, type[PirateError]]] = {
    "flips the last bit": (lambda: liar(TRUTH), IntegrityError),
    "flips the first bit": (lambda: liar(TRUTH, at=0), IntegrityError),
    "sends another file": (lambda: Holder(some_bytes(700_000, 1), DIGEST), IntegrityError),
    "claims more": (lambda: oversized(TRUTH, 700_001), IntegrityError),
    "claims less": (lambda: oversized(TRUTH, 699_999), IntegrityError),
    "claims nothing": (lambda: oversized(TRUTH, 0), IntegrityError),
    "claims more than any disk": (lambda: oversized(TRUTH, 2**64 - 1), LocalIOError),
    "answers for another": (lambda: misnamed(TRUTH), NoNetworkError),
    "ends early": (lambda: short(TRUTH), TransferFailedError),
    "ends late": (lambda: long(TRUTH), TransferFailedError),
    "announces 4 GiB": (lambda: glutton(TRUTH), TransferFailedError),
    "sends a byte now and then": (lambda: miser(TRUTH, seconds=0.05), TransferFailedError),
    "freezes": (lambda: frozen(TRUTH), TransferFailedError),
    "refuses": (lambda: stale(TRUTH), TransferFailedError),
    "dies at once": (lambda: dying(TRUTH, 0), TransferFailedError),
    "vanishes in its hello": (lambda: ghost, NoNetworkError),
    "vanishes after its hello": (lambda: late_ghost, NoNetworkError),
    "is mute": (lambda: mute, NoNetworkError),
    "speaks HTTP": (lambda: http, NoNetworkError),
    "babbles": (Babbler, NoNetworkError),
    "babbles after its hello": (lambda: Babbler(politely=True), NoNetworkError),
    "is full": (lambda: busy, NoNetworkError),
    "is from another time": (lambda: old, NoNetworkError),
    "has another file": (lambda: Holder(b"another"), NotFoundError),
}
evil = pytest.mark.parametrize("make", [make for make, _ in EVIL.values()], ids=list(EVIL))


@pytest.mark.parametrize(("make", "error"), EVIL.values(), ids=list(EVIL))
def test_an_evil_peer_alone_is_a_clear_error_and_no_file(
    tmp_path: Path, make: Make, error: type[PirateError]
) -> None:
    rig = Rig(tmp_path / "downloads", stall=STALL)
    began = time.monotonic()
    with Fake(make()) as fake, pytest.raises(error) as raised:
        rig.get(DIGEST, fake.peer)
    assert type(raised.value) is error
    assert str(raised.value)
    assert rig.finished == set()
    assert time.monotonic() - began < SOON / 2


@evil
def test_one_honest_peer_suffices_beside_an_evil_one_that_answers_first(
    tmp_path: Path, make: Make
) -> None:
    rig = Rig(tmp_path / "downloads", stall=STALL)
    truthful = Holder(TRUTH, hesitates=0.15)
    with Fake(make()) as fake, Fake(truthful) as good:
        verdict, received = rig.get(DIGEST, fake.peer, good.peer)
    assert verdict is Verdict.WANTED
    assert (rig.folder / "file").read_bytes() == TRUTH
    assert rig.finished == {"file"}
    assert not rig.part(DIGEST).exists()
    assert received.size == len(TRUTH)
    assert received.received <= 2 * len(TRUTH) + 1  # a liar costs what it sent, no more


def test_all_evil_peers_at_once_do_not_keep_a_real_server_from_being_heard(
    tmp_path: Path, honest: Honest
) -> None:
    honest.put("file", TRUTH)
    rig = Rig(tmp_path / "downloads")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Fake(make())).peer for make, _ in EVIL.values()]
        rig.get(DIGEST, *peers, honest.peer)
    assert (rig.folder / "file").read_bytes() == TRUTH
    assert rig.watcher.dropped_with(LiedError) <= {"holder"}


@pytest.mark.parametrize("liars", [1, 2, 5])
def test_a_liar_is_named_and_the_honest_one_is_not(tmp_path: Path, liars: int) -> None:
    rig = Rig(tmp_path / "downloads")
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(Fake(liar(TRUTH, at=number), name=f"liar {number}")).peer
            for number in range(liars)
        ]
        late = Holder(TRUTH, until=lambda: len(rig.watcher.dropped_with(LiedError)) == liars)
        good = stack.enter_context(Fake(late, name="good"))
        _, received = rig.get(DIGEST, *peers, good.peer)
    assert (rig.folder / "file").read_bytes() == TRUTH
    assert rig.watcher.dropped_with(LiedError) == {f"liar {number}" for number in range(liars)}
    assert received.received == (liars + 1) * len(TRUTH)


def test_a_liar_that_calls_itself_by_the_honest_ones_name_convicts_only_itself(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path / "downloads")
    truthful = Holder(TRUTH, hesitates=0.15)
    with Fake(liar(TRUTH), name="good") as fake, Fake(truthful, name="good") as good:
        rig.get(DIGEST, fake.peer, good.peer)
    assert (rig.folder / "file").read_bytes() == TRUTH


def test_a_liar_that_takes_another_name_each_time_is_not_believed_twice(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "downloads", seconds=5.0)
    lies = liar(TRUTH)

    def renamed(line: Line) -> None:
        line.name = f"liar {fake.accepted}"
        lies(line)

    with Fake(renamed) as fake, pytest.raises(IntegrityError):
        rig.get(DIGEST, fake.peer)


def test_a_liar_and_an_unreachable_peer_are_an_integrity_error(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "downloads")
    with Fake(liar(TRUTH)) as fake, Fake(ghost) as gone, pytest.raises(IntegrityError):
        rig.get(DIGEST, fake.peer, gone.peer)


def test_an_honest_peer_that_is_full_at_first_is_asked_again_after_a_liar(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "downloads")
    truthful = Holder(TRUTH)

    def full_at_first(line: Line) -> None:
        (busy if good.accepted == 1 else truthful)(line)

    with Fake(liar(TRUTH)) as fake, Fake(full_at_first) as good:
        rig.get(DIGEST, fake.peer, good.peer)
    assert (rig.folder / "file").read_bytes() == TRUTH


def test_a_name_from_a_peer_is_made_safe(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "downloads", name=None)
    with Fake(Holder(TRUTH, names=("../../\x1b[2J/..\\.ssh\\\u202ekeys",))) as fake:
        rig.get(DIGEST, fake.peer)
    assert rig.finished == {"_keys"}
    assert {path.name for path in tmp_path.iterdir()} == {"downloads"}


def test_nobody_to_ask_and_nobody_there_are_told_apart(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "downloads")
    with pytest.raises(NotFoundError, match="no peers yet"):
        rig.get(DIGEST)
    gone = Peer((Address("127.0.0.1", 1),))
    with pytest.raises(NoNetworkError, match="refused"):
        rig.get(DIGEST, gone)
    with Fake(Holder(b"another")) as other, pytest.raises(NotFoundError, match="2 peers asked, 1"):
        rig.get(DIGEST, other.peer, gone)
    assert rig.finished == set()
