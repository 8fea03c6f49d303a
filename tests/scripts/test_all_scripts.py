import sys
from pathlib import Path

import pytest
from scripts.conftest import ROOT, Run

SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("scripts", "scripts/bench", ".ci")
    for path in (ROOT / folder).iterdir()
    if path.is_file() and not path.suffix
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_how_to_use_it(script: str, run: Run) -> None:
    done = run(script, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_shell_scripts_stop_at_the_first_error(script: str) -> None:
    text = (ROOT / script).read_text()
    if text.startswith("#!/usr/bin/env bash"):
        assert "\nset -euo pipefail\n" in text
    else:
        assert text.startswith("#!/usr/bin/env python3\n")


def test_python_is_found_and_named_by_its_path(run: Run) -> None:
    done = run("scripts/find-python")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_absolute()


def test_an_active_environment_is_not_what_makes_it_anew(
    run: Run, environment: dict[str, str]
) -> None:
    environment["PYTHON"] = sys.executable  # scripts/test runs it from .venv
    done = run("scripts/find-python")
    assert not done.stdout.startswith(str(ROOT))
    assert Path(done.stdout.strip()).is_file()
