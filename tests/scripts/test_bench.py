import json
from pathlib import Path
from typing import Any

from scripts.conftest import Run


def last_line(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text.splitlines()[-1])
    return document


def test_single_ends_with_its_figures(run: Run, pirate: Path, tmp_path: Path) -> None:
    arguments = ("--size", "300K", "--runs", 2, "--alone", "--folder", tmp_path)
    done = run("scripts/bench/single", *arguments, "--pirate", pirate)
    assert done.returncode == 0, done.stderr
    report = last_line(done.stdout)
    assert report["bench"] == "single"
    assert report["size"] == 300 * 1024
    assert report["ratios"] == {"pirate": 1.0}
    figures = report["rows"]["pirate"]
    assert 0 < figures["min_s"] <= figures["median_s"] <= figures["max_s"]
    assert figures["client_rss"] > 0
    assert figures["server_rss"] > 0


def test_single_leaves_nothing_behind(run: Run, pirate: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bench"
    folder.mkdir()
    arguments = ("--size", "1K", "--runs", 1, "--alone", "--folder", folder)
    run("scripts/bench/single", *arguments, "--pirate", pirate)
    assert list(folder.iterdir()) == []


def test_single_says_what_failed(run: Run, pirate: Path, tmp_path: Path) -> None:
    pirate.write_text("#!/bin/sh\necho out of order\nexit 3\n")
    done = run("scripts/bench/single", "--size", "1K", "--folder", tmp_path, "--pirate", pirate)
    assert done.returncode == 1
    assert done.stderr == (
        "single: a server does not start; the server has ended with 3: out of order\n"
    )


def test_start_compares_with_python_itself(run: Run, pirate: Path) -> None:
    done = run("scripts/bench/start", "--runs", 1, "--pirate", pirate)
    assert done.returncode == 0, done.stderr
    report = last_line(done.stdout)
    assert set(report["rows"]) == {"python", "version", "get"}
    assert set(report["ratios"]) == set(report["bars"]) == {"version", "get"}
