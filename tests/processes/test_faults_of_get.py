"""What went wrong with downloads in the system that pirate replaces, and must not again."""

import itertools
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from evil import Holder, dying, ghost, liar, mute
from fake import Behaviour, Fake, Line
from honest import digest_of, listen, some_bytes
from processes.network import fill
from processes.peers import Done, Running, Serving, arrived, frozen, nobody, one_line, pirate, until
from vouching import honest

from pirate.model import Address

CONTENT = some_bytes(1_000_000)
SHA1 = str(digest_of(CONTENT))

# So that it is seen at work: 300 MiB take 0.2 s otherwise.
SLOW = ("--limit-up", "50M")

# A search is over after 5 s whoever is silent; what is faster did not wait for the silent.
AT_ONCE = 4.5


def late(behaviour: Behaviour, seconds: float) -> Behaviour:
    """Does the same, but thinks first."""

    def behave(line: Line) -> None:
        line.stop.wait(seconds)
        behaviour(line)

    return behave


def once(behaviour: Behaviour) -> Behaviour:
    """Does the same on its first connection, and closes all others."""
    connections = itertools.count()

    def behave(line: Line) -> None:
        if next(connections) == 0:
            behaviour(line)

    return behave


def no(name: str = "no") -> Holder:
    """Has another file."""
    return Holder(some_bytes(10, seed=99), names=(name,))


def get(place: Path, *peers: Address, sha1: str = SHA1, flags: tuple[str, ...] = ()) -> Done:
    named = [flag for peer in peers for flag in ("--peer", str(peer))]
    return pirate("get", sha1, "-d", place, *named, *flags)


def get_from(place: Path, *behaviours: Behaviour, flags: tuple[str, ...] = ()) -> Done:
    """Get the file from peers that behave like this."""
    with ExitStack() as stack:
        fakes = [stack.enter_context(Fake(behaviour)) for behaviour in behaviours]
        return get(place, *(fake.address for fake in fakes), flags=flags)


@contextmanager
def black_hole() -> Iterator[Address]:
    """A port whose backlog is full, so that it takes no connection and refuses none."""
    with listen(backlog=0) as full, ExitStack() as stack:
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield Address(*full.getsockname())


def listed(sharer: Serving) -> list[str]:
    """The names that a peer shares."""
    lines = pirate("ls", "--peer", sharer.address, "--sums").out.splitlines()
    return sorted(line.partition("  ")[2] for line in lines)


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.glob("*"))


def test_a_success_is_not_reported_as_a_failure(place: Path) -> None:
    done = get_from(place, Holder(CONTENT), flags=("--json",))
    result = json.loads(done.out.splitlines()[-1])
    assert done.code == 0
    assert (result["ok"], result["exit"], result["code"]) == (True, 0, "ok")
    assert Path(result["path"]).read_bytes() == CONTENT


def test_a_failure_is_not_reported_as_a_success(place: Path) -> None:
    done = get_from(place, no())
    assert (done.code, done.out) == (3, "")
    assert one_line(done, "not_found")


def test_the_first_no_does_not_end_the_search(place: Path) -> None:
    done = get_from(place, no(), late(Holder(CONTENT), 0.5))
    assert done.code == 0
    assert (place / "file.bin").read_bytes() == CONTENT


def test_three_no_do_not_keep_the_download_from_starting(place: Path) -> None:
    done = get_from(place, no("1"), no("2"), no("3"), no("4"), late(Holder(CONTENT), 0.5))
    assert done.code == 0
    assert (place / "file.bin").read_bytes() == CONTENT


def test_a_peer_slower_than_a_second_does_not_end_the_search(place: Path) -> None:
    done = get_from(place, late(Holder(CONTENT), 1.5))
    assert done.code == 0
    assert (place / "file.bin").read_bytes() == CONTENT


def test_a_slow_peer_without_the_file_does_not_hold_up_a_holder(place: Path) -> None:
    with Fake(late(no(), 20.0)) as slow, Fake(honest(CONTENT)) as holder:
        done = get(place, slow.address, holder.address)
        assert slow.seconds < AT_ONCE
    assert done.code == 0


def test_dead_peers_do_not_hang_the_search(place: Path) -> None:
    """One refuses, one accepts and is silent, one dies in its first word, one is a black hole."""
    with ExitStack() as stack:
        silent, gone = (stack.enter_context(Fake(behaviour)) for behaviour in (mute, ghost))
        dead = [silent.address, gone.address, nobody(), stack.enter_context(black_hole())]
        holder = stack.enter_context(Fake(honest(CONTENT)))
        done = get(place, *dead, holder.address, flags=("--connect-timeout", "20s"))
        assert silent.seconds < AT_ONCE
    assert done.code == 0


def test_nobody_but_dead_peers_is_an_error_by_the_deadline(place: Path) -> None:
    with Fake(mute) as silent:
        done = get(place, nobody(), silent.address, flags=("--timeout", "1s"))
        assert silent.seconds < AT_ONCE
    assert done.code in {4, 7}
    assert names(place) == []


def test_a_frozen_holder_does_not_hang_the_transfer(place: Path, big: tuple[Path, str]) -> None:
    folder, sha1 = big
    with Serving(folder, *SLOW) as holder, Serving(folder) as other:
        flags = ("--stall-timeout", "2s", "--peer", holder.address)
        with Running("get", sha1, "-d", place, *flags, "-v") as getting:
            assert until(lambda: arrived(place) > 0)
            with frozen(holder):
                stuck = getting.ends(50)
                assert stuck.code == 5
                assert one_line(stuck, "transfer_failed") or "transfer_failed" in stuck.err
                whole = get(place, other.address, holder.address, sha1=sha1)
    assert whole.code == 0
    assert names(place) == ["big.bin"]


def test_a_holder_that_freezes_is_replaced_by_another(place: Path, big: tuple[Path, str]) -> None:
    folder, sha1 = big
    with Serving(folder, *SLOW) as holder, Serving(folder, *SLOW) as other:
        peers = ("--peer", holder.address, "--peer", other.address)
        with Running("get", sha1, "-d", place, *peers, "--stall-timeout", "2s") as getting:
            assert until(lambda: arrived(place) > 0)
            sender = max(holder, other, key=Serving.bytes_read)
            with frozen(sender):
                done = getting.ends(50)
    assert done.code == 0
    assert names(place) == ["big.bin"]


def test_a_transfer_from_a_frozen_holder_ends_by_the_deadline(
    place: Path, big: tuple[Path, str]
) -> None:
    folder, sha1 = big
    with Serving(folder, *SLOW) as holder:
        flags = ("--timeout", "5s", "--stall-timeout", "5m", "--peer", holder.address)
        with Running("get", sha1, "-d", place, *flags) as getting:
            assert until(lambda: arrived(place) > 0)
            with frozen(holder):
                done = getting.ends(50)
    assert done.code in {5, 7}
    assert names(place) == [f".{sha1}.pirate-journal", f".{sha1}.pirate-part"]


def test_changed_bytes_are_not_accepted_under_the_digest_that_was_asked_for(place: Path) -> None:
    done = get_from(place, liar(CONTENT))
    assert done.code == 6
    assert one_line(done, "integrity") or "integrity" in done.err
    assert names(place) == []


def test_a_file_that_changes_while_it_is_shared_is_not_delivered_as_if_it_had_not(
    place: Path,
) -> None:
    shared = fill(place / "shared", {"file.bin": CONTENT})
    with Serving(shared, "--rescan", "1h", "--no-watch") as holder:
        times = (shared / "file.bin").stat()
        (shared / "file.bin").write_bytes(CONTENT[:-1] + b"!")
        os.utime(shared / "file.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
        done = get(place / "got", holder.address)
    assert done.code in {3, 5}
    assert not (place / "got").exists()


@pytest.mark.parametrize(
    ("behaviour", "left"),
    [(liar(CONTENT), 0), (once(dying(CONTENT, 700_000)), 1)],
    ids=["lies", "breaks off"],
)
def test_a_broken_download_is_not_shared_under_its_final_name(
    place: Path, behaviour: Behaviour, left: int
) -> None:
    shared = fill(place / "shared", {"mine": b"mine"})
    with Serving(shared) as sharer:
        assert get_from(shared, behaviour).code in {5, 6}
        assert len(list(shared.glob(".*.pirate-part"))) == left
        assert not (shared / "file.bin").exists()
        fill(shared, {"newer": b"newer"})
        sharer.rescan()
        assert until(lambda: "newer" in listed(sharer))
        assert listed(sharer) == ["mine", "newer"]


def test_getting_a_file_that_is_there_does_not_empty_it(place: Path) -> None:
    shared = fill(place / "shared", {"file.bin": CONTENT})
    with Serving(shared) as holder:
        before = (shared / "file.bin").stat()
        done = get(shared, holder.address)
        assert (done.code, done.out) == (0, f"{shared / 'file.bin'}\n")
        same = pirate("get", SHA1, "-o", shared / "file.bin", "--if-exists", "overwrite")
        assert same.code == 0
    assert (shared / "file.bin").read_bytes() == CONTENT
    assert (shared / "file.bin").stat().st_ino == before.st_ino
    assert names(shared) == ["file.bin"]


def test_getting_over_other_content_leaves_it_alone(place: Path) -> None:
    fill(place, {"file.bin": b"something else"})
    done = get_from(place, Holder(CONTENT))
    assert done.code == 9
    assert one_line(done, "exists")
    assert (place / "file.bin").read_bytes() == b"something else"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_ctrl_c_and_term_end_a_search_that_waits(
    place: Path, number: signal.Signals, code: int
) -> None:
    with Fake(mute) as silent:
        peers = ("--peer", silent.address)
        with Running("get", SHA1, "-d", place, *peers, "--wait", "1m") as getting:
            assert until(lambda: silent.accepted > 0)
            done = getting.stopped_by(number)
    assert done.code == code
    assert done.seconds < 10.0
    assert one_line(done, "interrupted")
    assert names(place) == []
