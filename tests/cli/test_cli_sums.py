"""sha1sum's format: what we write it reads, and the other way round."""

import os
import subprocess
from pathlib import Path

import pytest
from cli.calling import Pirate
from honest import digest_of
from hypothesis import given
from hypothesis import strategies as st

from pirate.cli.sums import read_sums, sum_line
from pirate.errors import UsageError

DIGEST = digest_of(b"x")

ODD = [
    "plain",
    "with space",
    " leading",
    "trailing ",
    "new\nline",
    "carriage\rreturn",
    "back\\slash",
    "\\n",
    "\\\\n",
    "*star",
    "日本語",
    "not utf-8 \udcff",
    "folder/below",
]


def check(sums: str, folder: Path) -> bool:
    """Whether sha1sum agrees with every line."""
    checked = subprocess.run(
        ["sha1sum", "--check", "--strict", "--status"],
        input=os.fsencode(sums),
        cwd=folder,
        check=False,
    )
    return checked.returncode == 0


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_sha1sum_reads_what_we_write_and_we_read_what_it_writes(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert check(sum_line(DIGEST, name) + "\n", tmp_path)
    theirs = subprocess.run(
        ["sha1sum", "--", name], capture_output=True, cwd=tmp_path, check=True
    ).stdout
    lines = os.fsdecode(theirs).splitlines(keepends=True)
    assert list(read_sums(lines, "list")) == [(DIGEST, name)]


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_every_name_comes_back_as_it_was(name: str) -> None:
    line = sum_line(DIGEST, name)
    assert "\n" not in line
    assert list(read_sums([line + "\n"], "list")) == [(DIGEST, name)]


def test_hash_writes_a_list_that_sha1sum_checks(pirate: Pirate, tmp_path: Path) -> None:
    names = [name for name in ODD if "/" not in name and name.isprintable()]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    done = pirate("hash", *names)
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n") == len(names)
    assert check(done.out, tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "no digest at all",
        f"{DIGEST}",
        f"{DIGEST} ",
        f"{DIGEST} one-space",
        f"{str(DIGEST)[:8]}  a prefix",
        f"{DIGEST}0  too-long",
        "d41d8cd98f00b204e9800998ecf8427e  an md5",
    ],
)
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(UsageError):
        list(read_sums([f"{DIGEST}  fine\n", line + "\n"], "list"))


def test_empty_lines_and_binary_marks_are_fine() -> None:
    lines = ["\n", f"{DIGEST} *a\n", "   \n", f"{str(DIGEST).upper()}  b"]
    assert [name for _, name in read_sums(lines, "list")] == ["a", "b"]
