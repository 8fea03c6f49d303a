import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scripts.conftest import ROOT, SCRIPT_SECONDS, Run


@pytest.fixture(name="bare_run")
def _bare_run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run a script where its PATH leads to nothing."""
    nothing = tmp_path / "nothing"
    nothing.mkdir()

    def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / script, *map(str, arguments)],
            env=environment | {"PATH": str(nothing)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )

    return run


def last_line(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text.splitlines()[-1])
    return document


def test_single_ends_with_its_figures(run: Run, pirate: Path, tmp_path: Path) -> None:
    arguments = ("--size", "300K", "--runs", 2, "--rows", "pirate", "--folder", tmp_path)
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
    arguments = ("--size", "1K", "--runs", 1, "--rows", "pirate", "--folder", folder)
    run("scripts/bench/single", *arguments, "--pirate", pirate)
    assert list(folder.iterdir()) == []


def test_single_measures_each_way_or_names_what_it_lacks(
    run: Run, pirate: Path, tmp_path: Path
) -> None:
    arguments = ("--size", "64K", "--runs", 1, "--folder", tmp_path, "--pirate", pirate)
    done = run("scripts/bench/single", *arguments)
    assert done.returncode == 0, done.stderr
    rows = last_line(done.stdout)["rows"]
    without = [line for line in done.stdout.splitlines() if line.startswith("without ")]
    assert "pirate" in rows
    assert len(rows) + len(without) == 8


def test_single_goes_on_without_what_is_not_installed(
    bare_run: Run, pirate: Path, tmp_path: Path
) -> None:
    arguments = ("--size", "1K", "--runs", 1, "--rows", "pirate,aria2", "--folder", tmp_path)
    done = bare_run("scripts/bench/single", *arguments, "--pirate", pirate)
    assert done.returncode == 0, done.stderr
    assert "aria2, 4 connections: aria2c is missing: apt install aria2" in done.stdout
    assert set(last_line(done.stdout)["rows"]) == {"pirate"}


def test_single_knows_its_rows(run: Run) -> None:
    done = run("scripts/bench/single", "--rows", "pirate,gopher")
    assert done.returncode == 2
    assert "'gopher' is none of pirate,curl," in done.stderr


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


def test_holders_tells_its_scenes(run: Run) -> None:
    done = run("scripts/bench/holders", "--help")
    assert done.returncode == 0, done.stderr
    for scene in ("tenth:", "tenth_link:", "quarters:", "cable:"):
        assert scene in done.stdout


def test_holders_says_what_it_needs(bare_run: Run) -> None:
    done = bare_run("scripts/bench/holders")
    assert done.returncode == 1
    assert done.stderr == "holders: this needs root, and ip and tc: apt install iproute2\n"


def test_crowd_finds_what_one_of_many_has(bare_run: Run, pirate: Path, tmp_path: Path) -> None:
    arguments = ("--peers", 40, "--files", 2, "--runs", 1, "--seconds", 1, "--folder", tmp_path)
    done = bare_run("scripts/bench/crowd", *arguments, "--pirate", pirate)
    assert done.returncode == 0, done.stderr
    report = last_line(done.stdout)
    assert set(report["rows"]) == {"get first", "get middle", "get last", "peers", "ls", "seen"}
    assert report["record_bytes"] > 200
    assert report["serve_rss_of_all"] > 0


def test_scan_shows_that_a_second_start_reads_no_file(
    run: Run, pirate: Path, tmp_path: Path
) -> None:
    small = ("--files", 2000, "--size", "1M", "--runs", 1, "--folder", tmp_path)
    done = run("scripts/bench/scan", *small, "--pirate", pirate)
    assert done.returncode == 0, done.stderr
    report = last_line(done.stdout)
    assert set(report["rows"]) == {"empty", "plain", "first", "again", "openssl", "large"}
    assert report["read"] < 2000 * 1024 // 4


def test_catalog_shows_what_one_change_costs(bare_run: Run, pirate: Path, tmp_path: Path) -> None:
    small = ("--files", 3000, "--peers", 2, "--each", 10, "--real", 20, "--runs", 1)
    done = bare_run("scripts/bench/catalog", *small, "--folder", tmp_path, "--pirate", pirate)
    assert done.returncode == 0, done.stderr
    figures = last_line(done.stdout)["figures"]
    assert figures["change"] < 1000 < figures["whole"]
    assert figures["unchanged"] < 200


WAYS = ("warm", "direct")


def test_warm_compares_the_serve_of_this_machine_with_asking_everybody(
    bare_run: Run, pirate: Path, tmp_path: Path
) -> None:
    small = ("--peers", 2, "--each", 2000, "--runs", 1)
    done = bare_run("scripts/bench/warm", *small, "--folder", tmp_path, "--pirate", pirate)
    assert done.returncode == 0, done.stderr
    rows = last_line(done.stdout)["rows"]
    ways = {"PATTERN first", *(f"{what} {way}" for what in ("PATTERN", "all") for way in WAYS)}
    assert set(rows) == {"start", *ways, *(f"{way} same" for way in ways)}
