import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pirate.disk.names import (
    NAME_BYTES,
    UNSEEN_CATEGORIES,
    SafeName,
    numbered,
    safe_name,
    safe_path,
)
from pirate.policy.rules import Rules

CORPUS = [
    "",
    ".",
    "..",
    "...",
    "/",
    "//",
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../b",
    "..\\..\\windows",
    "C:\\autoexec.bat",
    "folder/",
    "folder/.",
    "folder/..",
    ".bashrc",
    ".ssh/authorized_keys",
    " .hidden",
    "\u200b.hidden",
    "\u00a0.hidden",
    "\t\n",
    "nul\0byte",
    "\x1b[2J\x1b]0;owned\x07",
    "line\nbreak\r",
    "\u202egpj.exe",
    "\u2066x\u2069",
    "\ufeffbom",
    "\u2028\u2029",
    "\ud800",
    "\udcff\udcfe",
    "\ue000\U000f0000",
    "\U0010ffff\u0378",
    "x" * 1000,
    "\U0001f3f4" * 300,
    "x" * 300 + ".tar.gz",
    "x." + "y" * 1000,
    "." + "y" * 1000,
    "x" * 254 + " " + "y" * 10,
    "a\u0301" * 200,
    "trailing. ",
    "trailing ",
    " ",
    ". .",
    " . ",
    "-rf",
    "~root",
    "CON",
    "file.pirate-part",
    f".{'0' * 40}.pirate-part",
]

paths = st.text(max_size=400) | st.lists(st.sampled_from([*CORPUS, "a", "/"])).map("/".join)


def is_safe(name: str) -> bool:
    return (
        0 < len(name.encode()) <= NAME_BYTES
        and not name.startswith(".")
        and not any(mark in name for mark in "/\\\0")
        and not any(unicodedata.category(character) in UNSEEN_CATEGORIES for character in name)
        and os.path.basename(os.path.normpath(name)) == name  # noqa: PTH119
    )


def is_creatable(folder: Path, name: str) -> bool:
    path = folder / name
    path.touch(exist_ok=False)
    alone = [found.name for found in folder.iterdir()] == [name]
    path.unlink()
    return alone


@pytest.mark.parametrize("suggested", CORPUS)
def test_every_trick_ends_as_one_harmless_name(suggested: str, tmp_path: Path) -> None:
    for name in (safe_name(suggested), *safe_path(suggested), numbered(safe_name(suggested), 2)):
        assert is_safe(name), name
        assert is_creatable(tmp_path, name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(paths)
def test_any_text_ends_as_one_harmless_name(tmp_path: Path, suggested: str) -> None:
    name = safe_name(suggested)
    assert is_safe(name)
    assert is_creatable(tmp_path, name)


@given(paths)
def test_any_path_stays_below_its_folder(suggested: str) -> None:
    parts = safe_path(suggested)
    assert parts
    assert all(is_safe(part) for part in parts)
    root = "/srv/downloads"
    assert os.path.normpath(os.path.join(root, *parts)).startswith(root + "/")  # noqa: PTH118


@given(paths)
def test_a_safe_name_is_left_as_it_is(suggested: str) -> None:
    name = safe_name(suggested)
    assert safe_name(name) == name or name.endswith(" ")


@given(paths, st.integers(2, 10**6), st.integers(2, 10**6))
@example("x" * 255, 2, 3)
@example("x." + "y" * 253, 2, 3)
@example("\U0001f3f4" * 60 + ".tar.gz", 9, 10)
def test_another_number_is_another_name(suggested: str, first: int, second: int) -> None:
    name = safe_name(suggested)
    one, two = numbered(name, first), numbered(name, second)
    assert is_safe(one)
    assert name != one
    assert (one == two) == (first == second)


@pytest.mark.parametrize(
    ("suggested", "name"),
    [
        ("photo.jpg", "photo.jpg"),
        ("holiday/photo.jpg", "photo.jpg"),
        ("holiday/", "holiday"),
        ("naïve café 東京 🏴.txt", "naïve café 東京 🏴.txt"),
        ("", "unnamed"),
        ("..", "_."),
        (".profile", "_profile"),
        ("a\nb", "a_b"),
        ("x" * 300 + ".iso", "x" * 251 + ".iso"),
    ],
)
def test_what_is_harmless_in_a_name_is_kept(suggested: str, name: str) -> None:
    assert safe_name(suggested) == name


@pytest.mark.parametrize(
    ("name", "other"),
    [("a.txt", "a (2).txt"), ("a", "a (2)"), ("a.tar.gz", "a.tar (2).gz")],
)
def test_the_number_goes_before_the_suffix(name: str, other: str) -> None:
    assert numbered(SafeName(name), 2) == other


def test_folders_are_kept_in_a_path() -> None:
    assert safe_path("./a//b/../c.txt") == ("a", "b", "_.", "c.txt")
    assert safe_path("/") == ("unnamed",)
    assert len(safe_path("a/" * 500)) <= 64


@pytest.mark.skipif(sys.maxunicode != 0x10FFFF, reason="needs all of Unicode")
def test_no_character_at_all_gets_through_that_is_not_seen() -> None:
    everything = map(chr, range(0x110000))
    for start in range(0, 0x110000, 64):
        text = "".join(character for character, _ in zip(everything, range(64), strict=False))
        assert is_safe(safe_name(text)), hex(start)


def test_a_safe_name_is_never_one_that_is_not_shared() -> None:
    assert all(Rules().shares("", safe_name(name)) for name in CORPUS if "pirate-part" not in name)
