"""What a killed get leaves beside a file that it had just published, or that came otherwise."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns.holders import Holders, Sample
from processes.peers import Running, pirate, until

from pirate.disk.tree import JOURNAL_SUFFIX, PART_SUFFIX

WAYS = pytest.mark.parametrize("named", [True, False], ids=["-o", "-d"])


@pytest.fixture(name="holders", scope="module")
def _holders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holders]:
    with Holders(tmp_path_factory.mktemp("holders"), [3_000_000]) as holders:
        yield holders


@pytest.fixture(name="slow")
def _slow(holders: Holders) -> Iterator[Holders]:
    """Give the same ones, from whom a file takes longer than a process to start."""
    holders.pace(0.5)
    yield holders
    holders.pace(0.0)


def get(holders: Holders, place: Path, *, named: bool) -> list[str]:
    sample = holders.samples[0]
    target = ["-o", str(place / sample.name)] if named else ["-d", str(place)]
    return ["get", str(sample.digest), *holders.all(), *target]


def part(place: Path, sample: Sample) -> Path:
    return place / f".{sample.digest}{PART_SUFFIX}"


@WAYS
def test_the_second_name_of_a_published_file_is_removed(
    tmp_path: Path, holders: Holders, *, named: bool
) -> None:
    sample = holders.samples[0]
    (tmp_path / sample.name).write_bytes(sample.content)
    part(tmp_path, sample).hardlink_to(tmp_path / sample.name)
    assert pirate(*get(holders, tmp_path, named=named)).code == 0
    assert [path.name for path in tmp_path.iterdir()] == [sample.name]
    assert (tmp_path / sample.name).read_bytes() == sample.content


@WAYS
def test_an_unfinished_download_of_a_file_that_is_there_is_given_up(
    tmp_path: Path, slow: Holders, *, named: bool
) -> None:
    sample = slow.samples[0]
    with Running(*get(slow, tmp_path, named=named)) as getting:
        journal = tmp_path / f".{sample.digest}{JOURNAL_SUFFIX}"
        assert until(lambda: journal.exists() and journal.stat().st_size > 300)
        getting.kill()
    (tmp_path / sample.name).write_bytes(sample.content)
    assert pirate(*get(slow, tmp_path, named=named)).code == 0
    assert [path.name for path in tmp_path.iterdir()] == [sample.name]


def test_a_download_that_another_process_is_at_is_left_to_it(tmp_path: Path, slow: Holders) -> None:
    sample = slow.samples[0]
    with Running(*get(slow, tmp_path, named=True)) as getting:
        assert until(lambda: part(tmp_path, sample).exists())
        (tmp_path / "there.bin").write_bytes(sample.content)
        other = ["get", str(sample.digest), *slow.all(), "-o", str(tmp_path / "there.bin")]
        assert pirate(*other).code == 0
        assert part(tmp_path, sample).exists()
        slow.pace(0.0)
        assert getting.ends().code == 0
    assert {path.name for path in tmp_path.iterdir()} == {sample.name, "there.bin"}


def test_a_journal_without_its_part_file_is_removed(tmp_path: Path, holders: Holders) -> None:
    sample = holders.samples[0]
    (tmp_path / sample.name).write_bytes(sample.content)
    (tmp_path / f".{sample.digest}{JOURNAL_SUFFIX}").write_bytes(b"torn")
    assert pirate(*get(holders, tmp_path, named=True)).code == 0
    assert [path.name for path in tmp_path.iterdir()] == [sample.name]
