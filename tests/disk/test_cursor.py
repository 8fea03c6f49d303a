import json
from pathlib import Path

import pytest

from pirate.disk import cursor as module
from pirate.disk.cursor import Cursor
from pirate.disk.place import Place
from pirate.disk.state import State

ROOTS = ("/b", "/a")


def place(path: str) -> Place:
    root, *parts = path.strip("/").split("/")
    return Place(f"/{root}", tuple(parts))


def moved(state: Path, *paths: str, bad: tuple[str, ...] = ()) -> None:
    cursor = Cursor(State(str(state)), ROOTS, "x")
    for path in paths:
        cursor.note(place(path), bad=path in bad)
        cursor.move(place(path), 10)
    cursor.save()


def loaded(state: Path, roots: tuple[str, ...] = ROOTS, rules: object = "x") -> Cursor:
    cursor = Cursor(State(str(state)), roots, rules)
    cursor.load()
    return cursor


def test_what_is_in_front_of_the_cursor_is_passed(tmp_path: Path) -> None:
    moved(tmp_path, "/b/x", "/a/m/1", "/a/m/2\udcff", bad=("/a/m/1",))
    cursor = loaded(tmp_path)
    assert (cursor.files, cursor.size) == (3, 30)
    assert all(map(cursor.passed, map(place, ("/b/z/z", "/a/l", "/a/m/1", "/a/m/2\udcff"))))
    assert not any(map(cursor.passed, map(place, ("/a/m/3", "/a/n"))))
    assert cursor.was_bad(place("/a/m/1"))
    assert not cursor.was_bad(place("/b/x"))


def test_the_cursor_never_moves_back(tmp_path: Path) -> None:
    moved(tmp_path, "/a/m", "/b/x")
    cursor = loaded(tmp_path)
    assert cursor.passed(place("/a/m"))
    assert cursor.files == 1


def test_other_folders_or_rules_are_another_pass(tmp_path: Path) -> None:
    moved(tmp_path, "/a/m")
    assert not loaded(tmp_path, ("/a",)).passed(place("/a/a"))
    assert not loaded(tmp_path, rules="y").passed(place("/a/a"))
    assert loaded(tmp_path).passed(place("/a/a"))


def test_without_a_cursor_or_once_it_is_removed_everything_is_to_be_done(tmp_path: Path) -> None:
    assert not loaded(tmp_path).passed(place("/a/a"))
    moved(tmp_path)
    assert not list(tmp_path.iterdir())
    moved(tmp_path, "/a/m")
    loaded(tmp_path).remove()
    assert not loaded(tmp_path).passed(place("/a/a"))


def test_too_many_bad_files_are_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BAD", 1)
    moved(tmp_path, "/a/1", "/a/2", bad=("/a/1", "/a/2"))
    assert not loaded(tmp_path).passed(place("/a/1"))


GOOD = {"last": ["/a", ["m"]], "bad": [], "files": 1, "bytes": 2}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        json.dumps(GOOD | {"last": ["/c", ["m"]]}).encode(),
        json.dumps(GOOD | {"last": ["/a", []]}).encode(),
        json.dumps(GOOD | {"last": "am"}).encode(),
        json.dumps(GOOD | {"bad": 1}).encode(),
        json.dumps(GOOD | {"bad": [[]]}).encode(),
        json.dumps(GOOD | {"files": "many"}).encode(),
        json.dumps(GOOD | {"files": None}).encode(),
    ],
)
def test_garbage_is_no_cursor(tmp_path: Path, said: bytes) -> None:
    moved(tmp_path, "/a/m")
    [file] = tmp_path.iterdir()
    file.write_bytes(json.dumps(GOOD).encode())
    assert loaded(tmp_path).passed(place("/a/a"))
    file.write_bytes(said)
    cursor = loaded(tmp_path)
    assert not cursor.passed(place("/a/a"))
    assert cursor.files == 0
