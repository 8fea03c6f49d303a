"""Names that are no text travel through lists, pipes and folders as the bytes they are."""

import os
import subprocess
from pathlib import Path

from honest import digest_of
from processes.network import fill
from processes.peers import Serving, command, environment, pirate

NAMES = [b"not utf-8 \xff", b"new\nline", b"back\\slash", b" ", b"\x1b[31mred", b"-rf"]


def folder_of(place: Path) -> Path:
    folder = fill(place / "odd", {})
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes(name)
    return folder


def checks(sums: bytes, folder: Path) -> bool:
    """Whether sha1sum agrees with a list."""
    checked = subprocess.run(
        ["sha1sum", "--check", "--strict", "--status"], input=sums, cwd=folder, check=False
    )
    return checked.returncode == 0


def test_hash_writes_every_name_as_its_bytes_and_sha1sum_checks_them(place: Path) -> None:
    folder = folder_of(place)
    done = pirate("hash", "--", *map(os.fsdecode, NAMES), cwd=folder)
    assert (done.code, done.err) == (0, "")
    assert b"  not utf-8 \xff\n" in done.written
    assert checks(done.written, folder)


def test_a_list_with_such_names_on_stdin_makes_safe_names(place: Path) -> None:
    """A list may come from a stranger, so control characters do not get into the folder."""
    folder = folder_of(place)
    with Serving(folder) as server:
        sums = pirate("hash", "--", *map(os.fsdecode, NAMES), cwd=folder).written
        done = subprocess.run(
            [*command("get", "-i", "-", "-d", place / "copy", "--peer", server.address), "-q"],
            input=sums,
            capture_output=True,
            env=environment(),
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    copied = {path.read_bytes() for path in (place / "copy").iterdir()}
    assert copied == set(NAMES)
    assert all(path.name.isprintable() for path in (place / "copy").iterdir())


def test_such_files_are_listed_and_fetched(place: Path) -> None:
    with Serving(folder_of(place)) as server:
        listed = pirate("ls", "--peer", server.address)
        sha1 = str(digest_of(NAMES[0]))
        done = pirate("get", sha1, "--peer", server.address, "-d", place / "copy")
    assert "\x1b" not in listed.out
    assert "not utf-8 \N{REPLACEMENT CHARACTER}" in listed.out
    assert done.code == 0


def test_an_error_about_such_a_name_is_one_line(place: Path) -> None:
    done = pirate("hash", "nowhere \udcff\n\x1b[31m", cwd=place)
    assert done.code == 8
    assert done.err.count("\n") == 1
    assert "\x1b" not in done.err
