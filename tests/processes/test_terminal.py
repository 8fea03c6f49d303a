"""What a terminal gets: tables with a bold head, a bar, and nothing that a peer could abuse."""

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake import Fake, Line
from honest import digest_of
from processes.network import fill
from processes.peers import LONG_SECONDS, Serving, command, environment

from pirate.model import Entry
from pirate.wire import messages

LONG = "/".join(["a folder with a long name"] * 6) + "/file.txt"
BOLD = "\x1b[1m"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A peer with two files."""
    folder = fill(tmp_path_factory.mktemp("terminal") / "shared", {"a": b"a", LONG: b"long"})
    with Serving(folder) as serving:
        yield serving


def shown(*arguments: object, **variables: str) -> tuple[int, str]:
    """The exit code of a command on a terminal of 80 columns, and all that it shows there."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    settings = environment(TERM="xterm-256color", NO_COLOR="") | variables
    process = subprocess.Popen(command(*arguments), stdin=its, stdout=its, stderr=its, env=settings)
    os.close(its)
    seen = b""
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError as error:
        if error.errno != errno.EIO:  # nobody holds the other end any more
            raise
    finally:
        os.close(ours)
    return process.wait(LONG_SECONDS), seen.decode()


def test_a_table_has_a_bold_head_and_names_that_are_not_cut(server: Serving) -> None:
    code, seen = shown("ls", "--peer", server.address)
    assert code == 0
    assert seen.startswith(f"{BOLD}SHA-1 ")
    assert LONG in seen


@pytest.mark.parametrize(
    "variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"]
)
def test_a_terminal_that_wants_no_colours_gets_none(
    server: Serving, variables: dict[str, str]
) -> None:
    for words in (["ls"], ["peers"], ["info", digest_of(b"a")]):
        code, seen = shown(*words, "--peer", server.address, **variables)
        assert code == 0
        assert "\x1b" not in seen


def test_color_never_gives_none_and_always_gives_some_to_a_pipe(server: Serving) -> None:
    _, seen = shown("ls", "--peer", server.address, "--color", "never")
    assert "\x1b" not in seen
    piped = subprocess.run(
        command("ls", "--peer", server.address, "--color", "always"),
        capture_output=True,
        text=True,
        env=environment(TERM="dumb"),
        check=True,
    )
    assert piped.stdout.startswith(f"{BOLD}SHA-1 ")


def on_screen(seen: str) -> list[str]:
    """The lines that are left, if nothing scrolls: a terminal that knows what bars need."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r\n]|[^\x1b\r\n]+", seen):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif up := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(up[1])
        elif part[0] != "\x1b":
            line = lines[row].ljust(column)
            lines[row] = line[:column] + part + line[column + len(part) :]
            column += len(part)
    return lines


def test_get_draws_a_bar_and_takes_it_away(place: Path, big: tuple[Path, str]) -> None:
    folder, sha1 = big
    with Serving(folder) as holder:
        # So slowly that the bar is seen at work: 300 MiB take 0.2 s otherwise.
        limit = ("--limit-down", "200M")
        code, seen = shown("get", sha1, "--peer", holder.address, "-d", place, *limit)
    assert code == 0
    assert "━" in seen
    assert "MiB/s" in seen
    assert "MB/s" not in seen
    path, verified = seen.splitlines()[-2:]
    assert path.endswith(str(place / "big.bin"))
    assert verified.startswith("pirate: verified; 300 MiB in ")


def test_the_files_of_a_list_are_told_of_above_the_bar(place: Path, server: Serving) -> None:
    names = [f"{number}.txt" for number in range(3)]
    sums = "".join(f"{digest_of(b'a')}  {name}\n" for name in names)
    (place / "list").write_text(sums + f"{digest_of(b'nobody has it')}  nowhere\n")
    code, seen = shown("get", "-i", place / "list", "--peer", server.address, "-d", place)
    assert code == 11
    assert "━" in seen
    for line in (*(str(place / name) for name in names), "pirate: not_found: "):
        assert seen[: seen.index(line)].endswith(("\n", "\r", "\x1b[2K"))


@pytest.mark.parametrize("at_once", ["1", "2"])
def test_what_is_told_between_two_bars_is_not_erased(place: Path, at_once: str) -> None:
    contents = {f"{number}.bin": bytes([number]) * 6_000_000 for number in range(3)}
    folder = fill(place / "shared", contents)
    refs = [digest_of(content) for content in contents.values()]
    with Serving(folder) as holder:
        limits = ("--limit-down", "20M", "-j", at_once)
        code, seen = shown("get", *refs, "--peer", holder.address, "-d", place, *limits)
    assert code == 0
    assert "━" in seen
    screen = on_screen(seen)
    for name in contents:
        assert sum(line.endswith(f"/{name}") for line in screen) == 1
    assert sum(line.startswith("pirate: verified; ") for line in screen) == 3
    assert not any("━" in line for line in screen)


def test_a_dumb_terminal_gets_no_bar(place: Path, server: Serving) -> None:
    get = ("get", digest_of(b"a"), "--peer", server.address, "-d", place)
    code, seen = shown(*get, TERM="dumb")
    assert code == 0
    assert "\x1b" not in seen
    assert "━" not in seen


def test_a_bar_obeys_quiet(place: Path, server: Serving) -> None:
    get = ("get", digest_of(b"a"), "--peer", server.address, "-d", place)
    code, seen = shown(*get, "-q", "--progress", "bar")
    assert (code, seen) == (0, f"{place / 'a'}\r\n")


def test_a_list_for_sha1sum_is_harmless_on_a_terminal() -> None:
    def nasty(line: Line) -> None:
        entry = Entry(digest_of(b""), 0, ("\x1b]0;title\x07\u202egpj.exe",))
        line.introduce()
        header, _ = line.frame()
        line.send(messages.Entries(1, 0, 1, 0, (entry,)).frame(header.request))
        line.hold()

    with Fake(nasty) as liar:
        code, seen = shown("ls", "--sums", "--peer", liar.address)
    assert code == 0
    assert "\x1b" not in seen
    assert "\u202e" not in seen


def test_a_name_of_a_local_file_is_harmless_on_a_terminal(place: Path) -> None:
    (place / "\x1b[31mred").write_bytes(b"")
    code, seen = shown("hash", place / "\x1b[31mred")
    assert code == 0
    assert "\x1b" not in seen
