"""Foreign text cannot drive the terminal, and numbers read well."""

import logging
import sys
import unicodedata
from contextlib import ExitStack

import pytest
from cli.calling import Pirate
from evil import truly
from fake import Behaviour, Fake, Line
from honest import digest_of, hello
from hypothesis import given
from hypothesis import strategies as st

from pirate.chain import NO_CHAIN
from pirate.cli import text
from pirate.cli.log import HarmlessFormatter
from pirate.cli.output import one_line
from pirate.errors import NotFoundError
from pirate.model import Entry
from pirate.wire import messages

DRIVES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

NASTY = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",
    "two\nlines",
    "over\rwritten",
    "back\b\b\b\bspace",
    "tab\tbed",
    "invoice\u202egpj.exe",
    "\u2066isolated\u2069",
    "zero\u200bwidth\u200d\ufeff",
    "line\u2028separator\u2029",
    "soft\u00adhyphen",
    "\U000e0041tag",
    "nul\0byte",
    "[bold red]markup[/]",
    "../../etc/passwd",
    "-rf",
    " ",
]
CONTENT = b"content"
DIGEST = digest_of(CONTENT)


def harmless(shown: str) -> bool:
    """Whether no character of it could do anything but be seen; lines may end."""
    return not [
        character
        for character in shown.replace("\n", "")
        if unicodedata.category(character) in DRIVES
    ]


def test_of_all_code_points_none_that_drives_a_terminal_comes_out() -> None:
    for point in range(sys.maxunicode + 1):
        shown = text.harmless(chr(point))
        assert harmless(shown)
        assert "\n" not in shown
        assert shown


def test_what_can_be_seen_stays_as_it_is() -> None:
    for fine in (
        "plain",
        "naïve café",
        "日本語.txt",
        "смотри",
        "a b",
        "\N{BLACK FLAG}",
        "[x]",
        "\\n",
    ):
        assert text.harmless(fine) == fine


@given(st.text(st.characters(), max_size=50))
def test_any_text_comes_out_as_one_harmless_line(anything: str) -> None:
    shown = text.harmless(anything)
    assert harmless(shown)
    assert "\n" not in shown
    assert text.harmless(shown) == shown


def test_bytes_that_are_no_text_are_escaped() -> None:
    name = b"\xff\xfe\x9b31m".decode("utf-8", "surrogateescape")
    assert text.harmless(name) == "\\udcff\\udcfe\\udc9b31m"


def nasty_peer(name: str) -> Behaviour:
    """Introduces itself by, and names its file, what must not reach a terminal."""
    entry = Entry(DIGEST, len(CONTENT), (name,))

    def behave(line: Line) -> None:
        line.name = name
        line.introduce()
        while True:
            header, body = line.frame()
            match messages.decode(header, body):
                case messages.List(limit=limit):
                    page = messages.Entries(1, 0, 1, len(CONTENT), (entry,)[:limit])
                    line.send(page.frame(header.request))
                case messages.Stat():
                    line.send(messages.Entry(entry, NO_CHAIN).frame(header.request))
                case messages.Read():
                    truly(line, header.request, CONTENT)

    return behave


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_a_nasty_name_of_a_file_and_a_peer_is_harmless_in_every_command(
    pirate: Pirate, name: str
) -> None:
    with ExitStack() as stack:
        liar = stack.enter_context(Fake(nasty_peer(name)))
        for words in (
            ("ls",),
            ("ls", "--long"),
            ("ls", f"--on={name}"),
            ("ls", "--color", "always"),
            ("peers",),
            ("peers", "--color", "always"),
            ("info", str(DIGEST)),
            ("get", str(DIGEST), "-v", "--progress", "plain"),
            ("get", str(DIGEST), "-o", "again", "--progress", "bar"),
        ):
            done = pirate(*words, "--peer", liar.address)
            assert done.code == 0, done
            bare = done.out.replace("\x1b[1m", "").replace("\x1b[0m", "")
            assert harmless(bare), words
            assert harmless(done.err.replace("\x1b[2K", "").replace("\x1b[?25l", "")), words


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_a_nasty_reason_of_a_refusal_is_harmless(pirate: Pirate, name: str) -> None:
    def refuse(line: Line) -> None:
        line.send(hello(name).frame(0))
        line.frame()
        header, _ = line.frame()
        line.send(messages.Error(9, 0, name).frame(header.request))
        line.hold()

    with Fake(refuse) as refusing:
        for words in (("ls",), ("peers",), ("info", str(DIGEST)), ("get", str(DIGEST), "-vv")):
            done = pirate(*words, "--peer", refusing.address)
            assert done.code != 0
            assert harmless(done.out + done.err)


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_a_nasty_message_in_the_log_is_one_harmless_line(name: str) -> None:
    record = logging.LogRecord("pirate", logging.WARNING, "", 0, "peer %s", (name,), None)
    line = HarmlessFormatter().format(record)
    assert harmless(line)
    assert "\n" not in line


def test_an_error_is_one_harmless_line() -> None:
    line = one_line(NotFoundError("two\nlines \x1b[31m"))
    assert line.startswith("pirate: not_found: two\\nlines \\x1b[31m; check the digest")


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1_000_000, "977 KiB"),
        (1024**3, "1.0 GiB"),
        (10 * 1024**6, "10.0 EiB"),
    ],
)
def test_sizes_are_short(count: int, shown: str) -> None:
    assert text.size(count) == shown


def test_every_size_fits_its_column() -> None:
    for power in range(64):
        for count in (2**power - 1, 2**power, 10 ** (power // 4) * 999):
            assert len(text.size(count)) <= 8, count


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (75, "75 s"),
        (125, "2 m 5 s"),
        (7199, "119 m 59 s"),
        (12_000, "3 h 20 m"),
    ],
)
def test_durations_read_well(value: float, shown: str) -> None:
    assert text.seconds(value) == shown


def test_one_file_is_not_files() -> None:
    assert [text.counted(number, "file") for number in (0, 1, 2000)] == [
        "0 files",
        "1 file",
        "2,000 files",
    ]
