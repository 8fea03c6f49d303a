"""docs/CLI.md says what the code does, and all of it."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from pirate import errors
from pirate.cli.arguments import COMMANDS, parse, parser
from pirate.cli.main import BROKEN_PIPE
from pirate.config import SETTINGS

TEXT = (Path(__file__).parents[2] / "docs" / "CLI.md").read_text(encoding="utf-8")
OF_NETWORK = tuple(command for command in COMMANDS if command not in {"status", "hash", "verify"})


CALL = re.compile(rf"\bpirate ((?:{'|'.join(COMMANDS)})\b[^|;&#>`\n]*)")


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    _, _, rest = TEXT.partition(f"# {title}\n")
    assert rest, title
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the table in a section, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def documented(title: str) -> dict[str, bool]:
    """The flags of a section's table, and whether each takes a value."""
    found = {}
    for row in rows(title):
        for flag, value in re.findall(r"`(--?[a-z-]+)( [A-Z:\[\]-]+)?`", row[0]):
            found[flag] = bool(value)
    return found


def real(command: str) -> dict[str, bool]:
    """The flags that the parser takes, and whether each takes a value."""
    top = parser()
    (commands,) = (
        action for action in top._actions if isinstance(action, argparse._SubParsersAction)
    )
    return {
        flag: action.nargs != 0
        for action in commands.choices[command]._actions
        for flag in action.option_strings
        if flag not in {"-h", "--help"}
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flags_of_a_command_are_documented_and_no_others_are(command: str) -> None:
    told = documented("Output")
    if command in OF_NETWORK:
        told |= documented("Network")
    if command in {"get", "ls", "info", "peers"}:
        told |= documented("Asking")
    if command not in {"info", "peers"}:
        told |= documented(command)
    assert told == real(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_synopsis(command: str) -> None:
    assert f"pirate {command} [OPTION]..." in section(command)


def commands_in(text: str) -> list[list[str]]:
    """Every call of pirate in the shell lines of a text."""
    inner = re.findall(r"\$\(([^()]*)\)", text)
    outer = re.sub(r"\$\([^()]*\)", "x", text)
    calls = [call for part in (outer, *inner) for call in CALL.findall(part)]
    return [shlex.split(call) for call in calls]


@pytest.mark.parametrize("title", ["Recipes", "Streams"])
def test_every_command_line_in_an_example_parses(title: str) -> None:
    found = commands_in(section_with_code(title))
    assert found
    for words in found:
        parse(words)


def section_with_code(title: str) -> str:
    """A section whose code has comments, which look like headings."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_examples_of_help_parse(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], *([command] for command in COMMANDS)):
        with pytest.raises(SystemExit):
            parse([*words, "--help"])
        examples = capsys.readouterr().out.partition("\nexamples:\n")[2]
        for line in examples.partition("\n\n")[0].splitlines():
            for call in commands_in(re.split(r" {3,}", line.strip())[0]):
                parse(call)


def all_errors(base: type[errors.PirateError]) -> set[type[errors.PirateError]]:
    below = set(base.__subclasses__())
    return below.union(*map(all_errors, below))


def test_every_error_is_in_the_table_of_exit_codes() -> None:
    table = section("Exit codes")
    lines = {
        line.split("|")[2].strip().strip("`"): line for line in table.splitlines() if "|" in line
    }
    of_peers = all_errors(errors.PeerError) - {errors.RefusedError}
    for error in all_errors(errors.PirateError) - of_peers - {errors.RefusedError}:
        exit_codes = re.findall(r"\d+", lines[error.code].split("|")[1])
        assert str(error.exit_code) in exit_codes, error
    for error in of_peers:
        assert f"`{error.code}`" in table, error


def test_every_exit_code_in_the_table_exists() -> None:
    told = {int(code) for row in rows("Exit codes") for code in re.findall(r"\d+", row[0])}
    exist = {error.exit_code for error in all_errors(errors.PirateError)}
    assert told == exist | {0, errors.PirateError.exit_code, 143, BROKEN_PIPE}


def test_every_setting_is_documented_and_no_other_is() -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in rows("Settings")}
    assert told == {name: f"PIRATE_{name.upper()}" for name in SETTINGS}


def test_the_defaults_are_the_codes() -> None:
    for title in ("Network", "serve"):
        for flag, _, told in rows(title):
            name = re.findall(r"--([a-z-]+)", flag)[0].replace("-", "_")
            if name.startswith("no_"):
                assert SETTINGS[name.removeprefix("no_")].default is True
                continue
            default = SETTINGS[name if name in SETTINGS else f"{name}s"].default
            if told.startswith("`"):
                parsed = SETTINGS[name].parse(told.strip("`"))
                assert parsed == default, flag
            else:
                assert default in (None, ()), flag
