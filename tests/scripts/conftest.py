import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT_SECONDS = 150.0

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(name="pirate")
def _pirate(tmp_path: Path) -> Path:
    """Give a `pirate` that is this checkout's, in a folder of its own."""
    path = tmp_path / "bin" / "pirate"
    path.parent.mkdir()
    path.write_text(
        f"#!{sys.executable}\n"
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from pirate.__main__ import main\nmain()\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture(name="environment")
def _environment(pirate: Path, tmp_path: Path) -> dict[str, str]:
    """Let scripts find that `pirate`, and no configuration of this machine's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIRATE_")}
    return kept | {
        "PATH": f"{pirate.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PIRATE_CONFIG": os.devnull,
        "PIRATE_STATE": str(tmp_path / "state"),
        "PIRATE_DISCOVERY": "static",
    }


@pytest.fixture(name="run")
def _run(environment: dict[str, str]) -> Run:
    """Run one of the scripts to its end."""

    def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / script, *map(str, arguments)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )

    return run
