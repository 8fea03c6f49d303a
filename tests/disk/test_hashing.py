import hashlib
import os
import time
from pathlib import Path

import pytest
from honest import QUICK, SOON, digest_of, some_bytes

from pirate.disk import hashing
from pirate.disk.hashing import READ_BYTES, Hashed, Job, hash_all, hash_one
from pirate.disk.hashing import digest_of as digest_of_file
from pirate.disk.place import Identity
from pirate.scope import Stop


def job(share: Path, name: str, content: bytes) -> Job:
    (share / name).write_bytes(content)
    return Job(str(share), (name,), len(content))


@pytest.mark.parametrize(
    "size", [0, 1, 63, 64, 65, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES]
)
def test_the_digest_is_the_sha_1_of_all_bytes(share: Path, size: int) -> None:
    content = some_bytes(size)
    hashed = hash_one(job(share, "file", content), Stop())
    assert hashed
    assert hashed.digest == hashlib.sha1(content).digest()
    assert hashed.identity == Identity.of((share / "file").stat())


@pytest.mark.parametrize("change", ["append", "truncate", "rewrite"])
def test_a_file_that_changes_while_it_is_read_has_no_digest(
    share: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = share / "file"
    mine = job(share, "file", some_bytes(2 * READ_BYTES))
    os.utime(path, ns=(0, 0))
    real = os.preadv

    def changing(*arguments: object) -> int:
        monkeypatch.setattr(os, "preadv", real)
        match change:
            case "append":
                with path.open("ab") as file:
                    file.write(b"!")
            case "truncate":
                os.truncate(path, READ_BYTES)
            case "rewrite":
                with path.open("r+b") as file:
                    file.write(b"!")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", changing)
    assert hash_one(mine, Stop()) is None


def test_a_file_is_settled_only_if_it_was_older_than_a_tick(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = job(share, "file", b"x")
    with monkeypatch.context() as patch:
        patch.setattr(hashing, "YOUNG_NS", 10**15)  # however long it took to come here
        young = hash_one(mine, Stop())
    assert young
    assert not young.settled
    end = time.monotonic() + SOON
    while not (old := hash_one(mine, Stop())) or not old.settled:
        assert time.monotonic() < end
    assert old.digest == young.digest


def test_a_stop_ends_the_reading_of_a_large_file(share: Path) -> None:
    stop = Stop()
    stop.set()
    file = os.open(share / "large", os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 2**40)
    assert digest_of_file(file, stop) is None
    os.close(file)


def test_many_files_are_hashed_and_each_is_told_once(share: Path) -> None:
    contents = {f"{number}": some_bytes(number * 7, number) for number in range(300)}
    jobs = [job(share, name, content) for name, content in contents.items()]
    outcomes = [each for batch in hash_all(jobs, Stop(), 3) for each in batch]
    assert len(outcomes) == len(jobs)
    for done, hashed in outcomes:
        assert isinstance(hashed, Hashed)
        assert hashed.digest == digest_of(contents[done.parts[0]])


def test_no_files_are_no_work() -> None:
    assert list(hash_all([], Stop(), 3)) == []


def test_a_file_that_cannot_be_read_costs_only_itself(share: Path) -> None:
    jobs = [job(share, f"{number}", b"x") for number in range(5)]
    (share / "2").unlink()
    (share / "3").unlink()
    (share / "3").symlink_to("4")
    outcomes = {each.parts[0]: done for batch in hash_all(jobs, Stop(), 2) for each, done in batch}
    assert isinstance(outcomes["2"], FileNotFoundError)
    assert isinstance(outcomes["3"], OSError)
    assert sum(isinstance(done, Hashed) for done in outcomes.values()) == 3


def test_the_largest_come_first_in_batches_of_few_files_or_many_bytes() -> None:
    jobs = [Job("/", (f"{number}",), 1) for number in range(130)]
    jobs.append(Job("/", ("large",), 2**40))
    batches = list(hashing._batches(jobs))
    assert [len(batch) for batch in batches] == [1, 64, 64, 2]
    assert [job for batch in batches[1:] for job in batch] == jobs[:-1]
    assert batches[0][0].size == 2**40


def test_a_stop_ends_the_hashing_of_many_files_at_once(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()

    def slow(_: Job, inner: Stop, __: object) -> None:
        stop.set()
        assert inner.wait(SOON)

    monkeypatch.setattr(hashing, "hash_one", slow)
    began = time.monotonic()
    assert list(hash_all([job(share, "file", b"x")] * 200, stop, 2)) == []
    assert time.monotonic() - began < QUICK


def test_a_defect_is_not_taken_for_an_unreadable_file(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr(hashing, "hash_one", broken)
    with pytest.raises(ExceptionGroup):
        list(hash_all([job(share, "file", b"x")], Stop(), 2))
