"""``get --range`` as a process: killed and run again, of a file larger than it ever takes."""

import hashlib
import os
from pathlib import Path

import pytest
from processes.peers import Running, Serving, arrived, one_line, pirate, until

MIB = 1024 * 1024


def names(place: Path) -> list[str]:
    return sorted(os.listdir(place))  # noqa: PTH208


def test_a_killed_range_goes_on_and_leaves_only_its_bytes(
    place: Path, big: tuple[Path, str]
) -> None:
    folder, sha1 = big
    get = ("get", sha1, "-o", place / "part", "--range", f"{50 * MIB + 7}-{250 * MIB}", "--peer")
    with Serving(folder, "--limit-up", "10M") as slow:
        with Running(*get, slow.address) as getting:
            assert until(lambda: arrived(place) > 2 * MIB)
            busy = pirate("get", sha1, "-d", place, "--peer", slow.address)
            getting.kill()
        assert busy.code == 12
        assert names(place) == [f".{sha1}.pirate-journal", f".{sha1}.pirate-part"]
        taken = (place / f".{sha1}.pirate-part").stat()
        assert taken.st_size == 300 * MIB
        assert taken.st_blocks * 512 < 210 * MIB
    with Serving(folder) as holder:
        done = pirate(*get, holder.address, "--json")
    assert done.code == 0
    assert '"resumed_bytes": 0,' not in done.out.splitlines()[-1]
    assert names(place) == ["part"]
    with (folder / "big.bin").open("rb") as file:
        file.seek(50 * MIB + 7)
        wanted = hashlib.sha1(file.read(200 * MIB - 6)).hexdigest()
    with (place / "part").open("rb") as file:
        assert hashlib.file_digest(file, "sha1").hexdigest() == wanted


@pytest.mark.parametrize("asked", ["0-1023", "-1"])
def test_the_whole_is_neither_read_nor_sent_for_a_few_bytes(
    big: tuple[Path, str], asked: str
) -> None:
    folder, sha1 = big
    with Serving(folder) as holder:
        before = holder.bytes_read()
        done = pirate("get", sha1, "-o", "-", "-q", "--range", asked, "--peer", holder.address)
        assert done.code == 0
        assert holder.bytes_read() - before < 10 * MIB
    assert len(done.written) == (1024 if asked == "0-1023" else 1)


def test_a_range_behind_the_end_writes_nothing_to_stdout(big: tuple[Path, str]) -> None:
    folder, sha1 = big
    with Serving(folder) as holder:
        asked = f"{300 * MIB}-"
        done = pirate("get", sha1, "-o", "-", "-q", "--range", asked, "--peer", holder.address)
    assert (done.code, done.written) == (2, b"")
    assert one_line(done, "usage")
    assert f"the file has {300 * MIB} bytes" in done.err
