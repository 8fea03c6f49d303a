"""The peers of a network, kept and found again."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pirate import record
from pirate.disk.remembered import MOST, remember, remembered
from pirate.disk.state import State
from pirate.model import Address, Announcement, Known, PeerId

NOW = 1_700_000_000.0
NET = "etcd 10.0.0.1:2379"


def announcement(number: int) -> Announcement:
    address = Address(f"10.0.{number // 256}.{number % 256}", 7070)
    return Announcement(PeerId(number.to_bytes(16)), f"peer {number}", (address,), "1")


PEERS = tuple(map(announcement, range(1, 4)))


@pytest.fixture(name="state")
def _state(tmp_path: Path) -> State:
    return State(str(tmp_path / "state"))


@pytest.fixture(name="file")
def _file(state: State, tmp_path: Path) -> Path:
    """Give the file of a network whose peers are kept."""
    remember(state, NET, PEERS, NOW)
    [name] = state.names()
    return tmp_path / "state" / name


def test_who_was_kept_is_found_again_with_its_age(state: State) -> None:
    remember(state, NET, PEERS, time.time() - 60)
    known = remembered(state, NET)
    assert (known.announcements, known.stale, known.wrong) == (PEERS, True, 0)
    assert 60 <= known.age < 90


def test_networks_are_kept_apart(state: State, file: Path) -> None:
    assert file.exists()
    assert remembered(state, "etcd 10.0.0.2:2379").announcements == ()
    assert remembered(state, NET).announcements == PEERS


def test_newer_knowledge_is_not_replaced_by_older(state: State, file: Path) -> None:
    remember(state, NET, PEERS[:1], NOW - 1)
    assert remembered(state, NET).announcements == PEERS
    remember(state, NET, PEERS[:2], NOW + 1)
    assert remembered(state, NET).announcements == PEERS[:2]
    assert file.stat().st_mtime == NOW + 1


def test_a_file_from_the_future_is_replaced_and_has_no_age(state: State, file: Path) -> None:
    state.touch(file.name, time.time() + 1000)
    assert remembered(state, NET).age == 0.0
    remember(state, NET, PEERS[:1])
    assert remembered(state, NET).announcements == PEERS[:1]


def test_the_same_peers_are_not_written_again(state: State, file: Path) -> None:
    before = file.stat()
    remember(state, NET, PEERS, NOW + 5)
    assert (file.stat().st_ino, file.stat().st_mtime) == (before.st_ino, NOW + 5)


def test_nobody_is_no_news(state: State, file: Path) -> None:
    assert file.exists()
    remember(state, NET, (), NOW + 5)
    assert remembered(state, NET).announcements == PEERS


def test_nothing_was_kept(state: State) -> None:
    assert remembered(state, NET).announcements == ()
    assert State("").read("roster", 9) == b""
    assert remembered(State(""), NET).announcements == ()


def test_what_is_no_record_is_left_out_and_counted(state: State, file: Path) -> None:
    lines = [record.encode(PEERS[1]), b"{}", b"\xff" * 5000, b"", record.encode(PEERS[0])]
    file.write_bytes(b"\n".join([*lines, b"[" * 3000]))
    known = remembered(state, NET)
    assert known == Known(PEERS[:2], known.age, stale=True, wrong=4)


def test_no_more_are_kept_or_believed_than_10000(state: State, file: Path) -> None:
    many = [announcement(number) for number in range(1, MOST + 100)]
    remember(state, NET, many, NOW + 1)
    assert file.read_bytes().count(b"\n") == MOST
    file.write_bytes(b"".join(record.encode(one) + b"\n" for one in many))
    assert len(remembered(state, NET).announcements) == MOST


def test_one_that_nobody_would_accept_is_not_kept(state: State) -> None:
    remember(state, NET, (replace(PEERS[0], name="x" * 65), PEERS[1]), NOW)
    assert remembered(state, NET).announcements == PEERS[1:2]
