"""What went wrong with serving in the system that pirate replaces, and must not again."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from etcd_server import EtcdServer
from honest import digest_of, some_bytes
from processes.network import TTL, announced, fill, known
from processes.peers import Running, Serving, pirate, until

# A process that waits uses next to nothing of this share of a core.
IDLE = 0.1


@pytest.fixture
def shared(place: Path) -> Path:
    """A folder with two files."""
    return fill(place / "shared", {"kept": b"kept", "gone": b"gone"})


@pytest.fixture
def sharer(shared: Path) -> Iterator[Serving]:
    """A peer that shares it."""
    with Serving(shared, "--rescan", "1h") as serving:
        yield serving


def listed(sharer: Serving) -> set[str]:
    done = pirate("ls", "--peer", sharer.address, "--json")
    files = json.loads(done.out)["files"]
    return {name for file in files for name in file["names"]}


def idles(running: Running) -> bool:
    """Whether it waits for a while, as it does soon; who spins never does."""

    def idle() -> bool:
        before, began = running.processor_seconds(), time.monotonic()
        time.sleep(1.0)
        return (running.processor_seconds() - before) / (time.monotonic() - began) < IDLE

    return until(idle)


def test_deleted_files_do_not_stay_listed(sharer: Serving, shared: Path) -> None:
    assert listed(sharer) == {"kept", "gone"}
    (shared / "gone").unlink()
    sharer.rescan()
    assert until(lambda: listed(sharer) == {"kept"})


def test_new_files_are_listed_after_the_timer_alone(place: Path) -> None:
    with Serving(
        fill(place / "shared", {"old": b"old"}), "--rescan", "200ms", "--no-watch"
    ) as sharer:
        fill(sharer.folder, {"new": b"new"})
        assert until(lambda: listed(sharer) == {"old", "new"})


def test_a_dangling_symlink_costs_only_itself(sharer: Serving, shared: Path) -> None:
    (shared / "dangling").symlink_to("nowhere")
    (shared / "loop").symlink_to(".")
    fill(shared, {"new": b"new"})
    sharer.rescan()
    assert until(lambda: listed(sharer) == {"kept", "gone", "new"})


def test_an_unknown_digest_hashes_nothing_again(place: Path) -> None:
    size = 20_000_000
    content = some_bytes(size)
    with Serving(fill(place / "shared", {"large": content})) as sharer:
        time.sleep(0.1)
        before = sharer.bytes_read()
        for number in range(5):
            unknown = str(digest_of(b"%d" % number))
            assert pirate("get", unknown, "--peer", sharer.address, "-d", place).code == 3
        assert sharer.bytes_read() - before < size


def test_a_rescan_reads_only_what_has_changed(place: Path) -> None:
    size = 20_000_000
    with Serving(fill(place / "shared", {"large": some_bytes(size)})) as sharer:
        for name in ("first", "second"):  # a file as young as the clock's tick is read once more
            fill(sharer.folder, {name: b"small"})
            sharer.rescan()
            assert until(lambda name=name: name in listed(sharer))  # type: ignore[misc]
        before = sharer.bytes_read()
        fill(sharer.folder, {"small": b"small"})
        sharer.rescan()
        assert until(lambda: "small" in listed(sharer))
        assert sharer.bytes_read() - before < size


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_ctrl_c_and_term_are_not_ignored(sharer: Serving, number: signal.Signals) -> None:
    done = sharer.stopped_by(number)
    assert done.code == 0
    assert done.seconds < 10.0
    assert not sharer.port_file.exists()


def test_the_end_of_stdin_neither_ends_serve_nor_keeps_it_busy(shared: Path) -> None:
    with Serving(shared, stdin=subprocess.DEVNULL) as sharer:
        assert idles(sharer)
        assert listed(sharer) == {"kept", "gone"}


def test_serve_works_with_all_three_streams_closed(shared: Path) -> None:
    closing = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    with Serving(shared, prefix=closing) as sharer:
        assert idles(sharer)
        assert listed(sharer) == {"kept", "gone"}
        assert sharer.stopped_by(signal.SIGTERM).code == 0


def test_get_of_a_list_that_ends_at_once_ends_at_once(place: Path) -> None:
    done = pirate("get", "-i", "-", "-d", place, "--json", stdin="")
    assert json.loads(done.out)["done"] == 0
    assert done.code == 0
    assert done.seconds < 10.0


def test_an_outage_of_etcd_keeps_no_core_busy_and_ends_in_a_new_registration(
    place: Path, etcd: EtcdServer
) -> None:
    flags = ("--etcd", etcd.address)
    with Serving(fill(place / "shared", {"a": b"a"}), *flags, "--ttl", f"{TTL}s") as sharer:
        assert until(lambda: announced(etcd.address) == {"shared": 1})
        etcd.kill()
        assert until(lambda: known(sharer).stale)
        assert idles(sharer)
        etcd.restart_empty()
        assert until(lambda: announced(etcd.address) == {"shared": 1})
        assert until(lambda: not known(sharer).stale)  # then it says so
        lost, back = sharer.stopped_by(signal.SIGTERM).err.splitlines()[1:3]
    assert "lost the registry" in lost
    assert "is back" in back
