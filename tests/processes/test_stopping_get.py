"""How get and ls end when somebody ends them: soon, and so that it can go on later."""

import hashlib
import json
import signal
import subprocess
from pathlib import Path

import pytest
from evil import mute
from fake import Fake
from processes.network import fill
from processes.peers import (
    LONG_SECONDS,
    Running,
    Serving,
    arrived,
    command,
    environment,
    one_line,
    pirate,
    until,
)

SOON = 10.0
MIB = 1024 * 1024

# So that it is seen at work: 300 MiB take 0.2 s otherwise.
SLOW = ("--limit-up", "50M")

SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)


@SIGNALS
def test_a_download_that_is_broken_off_goes_on_where_it_was(
    place: Path, big: tuple[Path, str], number: signal.Signals, code: int
) -> None:
    folder, sha1 = big
    with Serving(folder) as server:
        get = ("get", sha1, "--peer", server.address, "-d", place)
        with Running(*get, "--limit-down", "50M") as getting:
            assert until(lambda: arrived(place) > 1_000_000)
            done = getting.stopped_by(number)
        assert (done.code, done.out) == (code, "")
        assert done.seconds < SOON
        assert one_line(done, "interrupted")
        kept = arrived(place)
        assert kept > 1_000_000
        result = json.loads(pirate(*get, "--json").out.splitlines()[-1])
    assert result["resumed_bytes"] == kept
    # What was on its way when it ended is lost, and what dawdles at the end comes twice.
    assert result["size"] - kept <= result["received_bytes"] <= result["size"] - kept + 4 * MIB
    assert [path.name for path in place.iterdir()] == ["big.bin"]


@SIGNALS
def test_an_interrupted_get_says_so_in_json_too(
    place: Path, big: tuple[Path, str], number: signal.Signals, code: int
) -> None:
    folder, sha1 = big
    get = ("get", sha1, "-d", place, "--json", "--peer")
    with Serving(folder, *SLOW) as server, Running(*get, server.address) as getting:
        assert until(lambda: arrived(place) > 1_000_000)
        done = getting.stopped_by(number)
    last = json.loads(done.out.splitlines()[-1])
    assert (last["ok"], last["code"], last["exit"]) == (False, "interrupted", code)
    assert (done.code, done.err) == (code, "")


def test_an_interrupted_get_to_stdout_leaves_no_temporary_files(
    place: Path, big: tuple[Path, str]
) -> None:
    folder, sha1 = big
    with Serving(folder, *SLOW) as server:
        get = ("get", sha1, "--peer", server.address, "-o", "-")
        with Running(*get, TMPDIR=str(place)) as getting:
            assert until(lambda: arrived(place) > 1_000_000)
            done = getting.stopped_by(signal.SIGTERM)
    assert done.code == 143
    assert done.seconds < SOON, "its reader takes nothing"
    assert (folder / "big.bin").read_bytes().startswith(done.written)
    assert list(place.iterdir()) == []


@SIGNALS
def test_several_downloads_are_broken_off_together_and_go_on_where_they_were(
    place: Path, number: signal.Signals, code: int
) -> None:
    files = {f"large{each}": bytes([each]) * 24 * MIB for each in range(3)}
    server_folder, out = fill(place / "shared", files), place / "out"
    sums = "".join(f"{hashlib.sha1(data).hexdigest()}  {name}\n" for name, data in files.items())
    (place / "list").write_text(sums)
    with Serving(server_folder) as server:
        get = ("get", "-i", place / "list", "-d", out, "--peer", server.address, "-j", 3)
        with Running(*get, "--limit-down", "8M") as getting:
            assert until(lambda: len(list(out.glob(".*.pirate-part"))) == 3)
            assert until(lambda: arrived(out) > 4 * MIB)
            done = getting.stopped_by(number)
        assert (done.code, done.out) == (code, "")
        assert done.seconds < SOON
        assert one_line(done, "interrupted")
        kept = arrived(out)
        results = [json.loads(line) for line in pirate(*get, "--json").out.splitlines()]
    assert sum(each["resumed_bytes"] for each in results if each["type"] == "result") == kept
    assert {path.name: path.read_bytes() for path in out.iterdir()} == files


@pytest.mark.parametrize("asking", ["ls", "peers", "info"])
def test_a_question_that_waits_is_broken_off_at_once(asking: str) -> None:
    words = [asking, 40 * "0"] if asking == "info" else [asking]
    with Fake(mute) as silent, Running(*words, "--peer", silent.address) as asked:
        assert until(lambda: silent.accepted > 0)
        done = asked.stopped_by(signal.SIGINT)
    assert done.code == 130
    assert done.seconds < SOON
    assert one_line(done, "interrupted")


def test_a_second_signal_ends_get_at_once(place: Path, big: tuple[Path, str]) -> None:
    folder, sha1 = big
    get = ("get", sha1, "-d", place, "--peer")
    with Serving(folder, *SLOW) as server, Running(*get, server.address) as getting:
        assert until(lambda: arrived(place) > 1_000_000)
        getting.send(signal.SIGINT)
        done = getting.stopped_by(signal.SIGINT)
    assert done.code in {130, -signal.SIGINT}
    assert done.seconds < SOON


def test_a_reader_that_goes_away_ends_ls_silently(place: Path) -> None:
    many = fill(place / "many", {f"{number:0150d}": b"%d" % number for number in range(1000)})
    with Serving(many) as server:
        for flags in ((), ("--sums",), ("--json",)):
            assert _reads_one_byte("ls", "--peer", server.address, *flags) == (141, b"")


def test_a_reader_that_goes_away_ends_get_to_stdout_silently(big: tuple[Path, str]) -> None:
    folder, sha1 = big
    with Serving(folder) as server:
        get = ("get", sha1, "--peer", server.address, "-o", "-", "-q")
        assert _reads_one_byte(*get) == (141, b"")


def _reads_one_byte(*arguments: object) -> tuple[int, bytes]:
    """The exit code and stderr of a command whose reader goes away after one byte."""
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        return process.wait(LONG_SECONDS), process.stderr.read()
