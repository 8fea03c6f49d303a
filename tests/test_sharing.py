from pathlib import Path

import pytest

from pirate.config import Settings, load
from pirate.errors import UsageError
from pirate.sharing import folders, shares


def read(home: Path, **flags: object) -> Settings:
    return load(flags, {"XDG_CONFIG_HOME": str(home)}, None)


def test_the_folder_that_we_are_in_is_shared_if_the_user_names_none(tmp_path: Path) -> None:
    assert folders(read(tmp_path, folders=["/a"])) == ("/a",)
    assert folders(read(tmp_path)) == (str(Path.cwd()),)


def test_what_is_no_folder_is_a_usage_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file' is not a folder"):
        shares(read(tmp_path), (str(tmp_path), str(tmp_path / "file")))


def test_the_settings_say_what_is_shared(tmp_path: Path) -> None:
    rules = shares(read(tmp_path, include=["*.iso"], exclude=["old/"]), (str(tmp_path),)).rules
    assert rules.shares("a.iso", "a.iso")
    assert not rules.shares("a.txt", "a.txt")
    assert not rules.shares(".a.iso", ".a.iso")
    assert not rules.enters("old", "old")


def test_the_state_folder_is_never_shared(tmp_path: Path) -> None:
    state = tmp_path / "pirate [1]"
    (tmp_path / "other").mkdir()
    both = (str(tmp_path / "other"), str(tmp_path))
    rules = shares(read(tmp_path, hidden=True, state=str(state)), both).rules
    assert not rules.enters("pirate [1]", "pirate [1]")
    assert rules.enters("pirate 1", "pirate 1")
    assert rules.enters("deeper/pirate [1]", "pirate [1]")
