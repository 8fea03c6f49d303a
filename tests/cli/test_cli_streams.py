"""stdout has the result and nothing else; all else goes to stderr."""

import re
import signal
from pathlib import Path

import pytest
from cli.calling import Pirate
from evil import liar, mute
from fake import Fake
from honest import Honest, digest_of, some_bytes

from pirate.cli import progress
from pirate.cli.main import Interrupted
from pirate.scope import Scope, Stop

CONTENT = some_bytes(1_000_000)
SHA1 = str(digest_of(CONTENT))


@pytest.fixture(name="files")
def _files(honest: Honest) -> Honest:
    """A peer with a large file and a small one of two names."""
    honest.put("large.bin", CONTENT)
    honest.put("one.txt", b"text")
    honest.put("folder/two.txt", b"text")
    return honest


def test_ls_on_a_pipe_is_aligned_columns_without_escapes(pirate: Pirate, files: Honest) -> None:
    done = pirate("ls", "--peer", files.address)
    head, *rows = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert head.split() == ["SHA-1", "SIZE", "HOLDERS", "NAME"]
    assert {row.index(row.split()[-1]) for row in rows[1:]} == {head.index("NAME")}
    assert rows[0].split() == [str(digest_of(b"text")), "4", "B", "1", "folder/two.txt", "(+1)"]


def test_ls_long_shows_all_names_and_all_holders(pirate: Pirate, files: Honest) -> None:
    lines = [
        line.split() for line in pirate("ls", "--long", "--peer", files.address).out.splitlines()
    ]
    assert ["one.txt"] in lines
    assert lines[1][1:] == ["4", "1", "folder/two.txt"]
    assert lines.count(["on", "honest", f"({files.address})"]) == 2


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", {"folder/two.txt", "one.txt"}),
        ("folder/*", {"folder/two.txt", "one.txt"}),
        ("large", {"large.bin"}),
        ("?????.bin", {"large.bin"}),
        ("LARGE", set()),
        ("[ol]*.bin", {"large.bin"}),
    ],
)
def test_a_pattern_is_a_glob_or_a_part_of_a_name(
    pirate: Pirate, files: Honest, pattern: str, names: set[str]
) -> None:
    done = pirate("ls", pattern, "--json", "--peer", files.address)
    assert {name for file in done.last["files"] for name in file["names"]} == names


def test_nothing_to_list_is_a_remark_and_no_failure(pirate: Pirate, files: Honest) -> None:
    done = pirate("ls", "nothing", "--peer", files.address)
    assert done == (0, "", "pirate: no files\n")
    assert pirate("ls", "nothing", "--peer", files.address, "-q") == (0, "", "")


def test_a_peer_that_is_silent_costs_ls_a_remark_only(pirate: Pirate, files: Honest) -> None:
    with Fake(mute) as silent:
        peers = ("--peer", silent.address, "--peer", files.address, "--timeout", "2s")
        done, quiet = pirate("ls", *peers), pirate("ls", *peers, "-q")
    assert done.code == 0
    # Who notices first, the question or the connection, is a matter of a moment.
    why = "(does not answer in time|sends nothing for 2 s)"
    assert re.fullmatch(f"pirate: {silent.address} is not listed: {why}\n", done.err)
    assert (quiet.out, quiet.err) == (done.out, "")


def test_get_prints_the_path_alone_on_stdout(pirate: Pirate, files: Honest) -> None:
    done = pirate("get", SHA1, "--peer", files.address)
    assert (done.code, done.out) == (0, "large.bin\n")
    assert re.fullmatch(r"pirate: verified; 977 KiB in \d\.\d s, \S+ .iB/s from 1 peer\n", done.err)
    again = pirate("get", SHA1, "--peer", files.address)
    assert again == (0, "large.bin\n", "pirate: large.bin was here already\n")


def test_quiet_leaves_the_result_and_the_errors(pirate: Pirate, files: Honest) -> None:
    assert pirate("get", SHA1, "--peer", files.address, "-q") == (0, "large.bin\n", "")
    failed = pirate("get", 40 * "0", "--peer", files.address, "-q")
    assert (failed.code, failed.out) == (3, "")
    assert failed.says("not_found")


def test_what_is_there_already_needs_no_network(pirate: Pirate, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    assert pirate("get", SHA1, "-o", "x", "-q") == (0, "x\n", "")


# What is printed, and what there is afterwards, where other content has the name "x".
OTHER = {
    "fail": (9, "", {"x": b"other"}),
    "skip": (0, "", {"x": b"other"}),
    "overwrite": (0, "x\n", {"x": CONTENT}),
    "rename": (0, "x (2)\n", {"x": b"other", "x (2)": CONTENT}),
}


@pytest.mark.parametrize("how", OTHER)
def test_what_is_done_where_other_content_has_the_name(
    pirate: Pirate, files: Honest, tmp_path: Path, how: str
) -> None:
    (tmp_path / "x").write_bytes(b"other")
    done = pirate("get", SHA1, "-o", "x", "--peer", files.address, "-q", "--if-exists", how)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert (done.code, done.out, found) == OTHER[how]


@pytest.mark.parametrize(
    ("how", "lines"), [("plain", True), ("none", False), ("auto", True), ("bar", False)]
)
def test_progress_on_a_pipe_is_lines_or_nothing(
    pirate: Pirate, files: Honest, how: str, *, lines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    done = pirate("get", SHA1, "--peer", files.address, "--progress", how)
    assert (done.code, done.out) == (0, "large.bin\n")
    assert bool(re.search(r"^pirate: .* of 977 KiB, .*/s", done.err, re.MULTILINE)) is lines
    assert "\x1b" not in done.err


def test_a_holder_that_is_dropped_is_told(pirate: Pirate) -> None:
    with Fake(liar(CONTENT)) as bad:
        done = pirate("get", SHA1, "--peer", bad.address)
    assert (done.code, done.out) == (6, "")
    dropped, *_, last = done.err.splitlines()
    assert dropped.startswith(f"pirate: dropped holder ({bad.address}) after 977 KiB: ")
    assert last.startswith("pirate: integrity: ")


def test_several_files_fail_one_by_one_and_the_rest_arrive(pirate: Pirate, files: Honest) -> None:
    done = pirate("get", 40 * "0", SHA1, "--peer", files.address, "-q")
    assert (done.code, done.out) == (11, "large.bin\n")
    first, last = done.err.splitlines()
    assert first.startswith("pirate: not_found: ")
    assert last.startswith("pirate: partial: 1 of 2 files failed; ")


def test_files_that_fail_alike_give_their_own_code(pirate: Pirate, files: Honest) -> None:
    done = pirate("get", 40 * "0", 40 * "1", "--peer", files.address, "-q")
    assert done.code == 3


def test_an_unexpected_error_is_one_line_and_with_vv_a_traceback(
    pirate: Pirate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirate.cli.commands.hash.hash_file", lambda *_: 1 / 0)
    done = pirate("hash", __file__)
    assert done.code == 1
    assert done.err == "pirate: internal: ZeroDivisionError: division by zero; report this\n"
    with pytest.raises(ZeroDivisionError):
        pirate("hash", __file__, "-vv")


def test_a_signal_is_not_hidden_by_a_thread_that_fails_when_it_is_stopped() -> None:
    def fail(stop: Stop) -> None:
        stop.wait()
        raise ValueError

    def interrupted() -> None:
        with Scope() as scope:
            scope.spawn("fails", lambda: fail(scope.stop))
            raise Interrupted(signal.SIGINT)

    with pytest.raises(Interrupted):
        interrupted()


def test_ls_on_one_peer_by_name_address_or_id(pirate: Pirate, files: Honest) -> None:
    peers = pirate("peers", "--json", "--peer", files.address).last["peers"]
    for on in ("honest", str(files.address), peers[0]["id"]):
        done = pirate("ls", "--on", on, "--json", "--peer", files.address)
        assert len(done.last["files"]) == 2
    assert pirate("ls", "--on", str(files.address), "--json").code == 0
    nobody = pirate("ls", "--on", "nobody", "--peer", files.address)
    assert nobody.code == 3
    assert nobody.says("not_found")
