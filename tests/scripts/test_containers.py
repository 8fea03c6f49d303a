"""No container engine runs in the tests: what can be known without one."""

import json
import re
import shlex

import pytest
from scripts.conftest import ROOT

from pirate.cli.arguments import parse
from pirate.config import load

COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMMANDS = [json.loads(text) for text in re.findall(r"command: (\[.*\])", COMPOSE)]
MOUNTS = re.findall(r"- (\./\S+?):(/\S+?)(:ro)?$", COMPOSE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_peers_command_parses_and_shares_what_is_mounted(command: list[str]) -> None:
    arguments = parse(command)
    settings = load(vars(arguments), {"PIRATE_ETCD": "etcd:2379"}, "/dev/null")
    assert settings.etcd
    assert set(settings.folders) <= {target for _, target, _ in MOUNTS}


def test_two_peers_share_folders_of_the_checkout_and_cannot_change_them() -> None:
    assert len(COMMANDS) == 2
    assert MOUNTS
    for source, _, read_only in MOUNTS:
        assert (ROOT / source).is_dir()
        assert read_only


def test_images_are_pinned() -> None:
    images = re.findall(r"(?:image:|FROM) (\S+)", COMPOSE + DOCKERFILE)
    assert len(images) == 3
    for image in images:
        assert image == "pirate" or re.search(r":v?\d+\.\d+\.\d+", image)


def test_peers_wait_for_an_etcd_that_answers() -> None:
    assert "condition: service_healthy" in COMPOSE
    assert '"endpoint", "health"' in COMPOSE


def test_the_health_checks_are_commands_that_there_are() -> None:
    match = re.search(r"CMD pirate (.*) \|\| exit 1", DOCKERFILE)
    assert match
    in_compose = re.search(r'test: (\["CMD", "pirate", .*\])', COMPOSE)
    assert in_compose
    [port] = re.findall(r"EXPOSE (\d+)", DOCKERFILE)
    for words, check in ((shlex.split(match[1]), False), (json.loads(in_compose[1])[2:], True)):
        arguments = parse(words)
        assert (arguments.command, arguments.check) == ("status", check)
        assert arguments.addresses == [f"127.0.0.1:{port}"]


def test_nobody_is_root_in_the_container() -> None:
    assert re.search(r"^USER pirate$", DOCKERFILE, re.MULTILINE)
    assert json.loads(DOCKERFILE.rpartition("ENTRYPOINT ")[2].splitlines()[0]) == ["pirate"]


def test_the_build_sees_all_that_an_installation_reads() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    assert kept == {"pirate", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"}
    for name in kept:
        assert (ROOT / name).exists()
