import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.calling import Done

from pirate.cli.main import run


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine or of another test; the folder is empty."""
    for name in list(os.environ):
        if (name.startswith("PIRATE_") and name != "PIRATE_STATE") or name in {"NO_COLOR", "TERM"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("PIRATE_DISCOVERY", "static")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """The log goes to the stderr of the test that is running."""
    yield
    logging.getLogger("pirate").handlers.clear()
    logging.getLogger("pirate").setLevel(logging.NOTSET)


@pytest.fixture
def pirate(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command line in this process."""

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return call
