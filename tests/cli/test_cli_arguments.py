"""Command lines that are wrong, and the help."""

import pytest
from cli.calling import Pirate
from honest import Honest, digest_of

from pirate import __version__
from pirate.cli.arguments import COMMANDS, OPERANDS, parse
from pirate.cli.main import run
from pirate.errors import UsageError

SHA1 = str(digest_of(b""))

# The first two decimal numbers whose SHA-1 begin with the same 8 hex digits.
_TWINS = (35097, 40686)

WRONG = {
    "an unknown command": ("frobnicate",),
    "an unknown flag": ("ls", "--frobnicate"),
    "an abbreviated flag": ("ls", "--lon"),
    "a flag without its value": ("ls", "--etcd"),
    "two patterns": ("ls", "a", "b"),
    "no REF": ("get",),
    "no REF for info": ("info",),
    "no FILE": ("hash",),
    "a REF that is too short": ("get", "1234567"),
    "a REF that is too long": ("get", 41 * "0"),
    "a REF that is no number": ("get", "wxyzwxyz"),
    "an urn that is too short": ("info", "urn:sha1:AAAA"),
    "a magnet link to something else": ("info", "magnet:?xt=urn:btih:AAAA"),
    "an output for two": ("get", SHA1, SHA1, "-o", "x"),
    "an output that is a folder": ("get", SHA1, "-o", "."),
    "an output that ends as a folder": ("get", SHA1, "-o", "new/"),
    "an output without a name": ("get", SHA1, "-o", ""),
    "an unknown --if-exists": ("get", SHA1, "--if-exists", "ask"),
    "no file at once": ("get", SHA1, "-j", "0"),
    "too many files at once": ("get", SHA1, "-j", "17"),
    "a wrong --wait": ("get", SHA1, "--wait", "soon"),
    "a wrong --from": ("get", SHA1, "--from", ":7070"),
    "a wrong --timeout": ("ls", "--timeout", "1 day"),
    "a --timeout of 0": ("ls", "--timeout", "0"),
    "a wrong --etcd": ("ls", "--etcd", "http://etcd:2379"),
    "a wrong --peer": ("ls", "--peer", "fe80::1"),
    "a wrong --discovery": ("ls", "--discovery", "dns"),
    "a wrong --color": ("ls", "--color", "maybe"),
    "a wrong --progress": ("get", SHA1, "--progress", "dots"),
    "a port alone to listen on": ("serve", "--listen", "7070"),
    "a port that is none": ("serve", "--listen", "127.0.0.1:65536"),
    "an announced name": ("serve", "--advertise", "localhost"),
    "a name that is too long": ("serve", "--name", 65 * "x"),
    "a lease that is too short": ("serve", "--ttl", "10ms"),
    "scans without a pause": ("serve", "--rescan", "1ms"),
    "a folder that is not there": ("serve", "nowhere", "--listen", "127.0.0.1:0"),
    "etcd without an address": ("serve", "--discovery", "etcd", "--listen", "127.0.0.1:0"),
    "a configuration file that is not there": ("ls", "--config", "nowhere.toml"),
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_line_is_exit_code_2_and_one_line(
    pirate: Pirate, words: tuple[str, ...]
) -> None:
    done = pirate(*words)
    assert (done.code, done.out) == (2, "")
    assert done.says("usage")


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_line_with_json_ends_with_one_object_and_says_nothing_else(
    pirate: Pirate, words: tuple[str, ...]
) -> None:
    done = pirate(*words, "--json")
    command = words[0] if words[0] in COMMANDS else "usage"
    assert (done.code, done.err, len(done.objects)) == (2, "", 1)
    assert done.last["schema"] == f"pirate.{command}/1"
    assert (done.last["ok"], done.last["code"], done.last["exit"]) == (False, "usage", 2)


def test_json_and_bytes_cannot_share_stdout(pirate: Pirate) -> None:
    done = pirate("get", SHA1, "-o", "-", "--json")
    assert (done.code, done.last["code"]) == (2, "usage")


def test_a_value_in_front_of_the_command_does_not_become_the_schemas_name(pirate: Pirate) -> None:
    assert pirate("--etcd", "h:1", "ls", "--json").last["schema"] == "pirate.ls/1"
    assert pirate("--json").last["schema"] == "pirate.usage/1"


def test_pirate_alone_helps(pirate: Pirate) -> None:
    done = pirate()
    assert (done.code, done.out) == (2, "")
    assert all(f"\n    {command} " in done.err for command in COMMANDS)
    assert "examples:" in done.err


@pytest.mark.parametrize("words", [("--help",), *((command, "--help") for command in COMMANDS)])
def test_help_is_on_stdout_and_exit_code_0(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        run(list(words))
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert out.startswith("usage: pirate ")
    assert max(map(len, out.splitlines())) <= 80


def test_version_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"pirate {__version__}\n"


@pytest.mark.parametrize("form", ["{}", "sha1:{}", "SHA1:{}", "{:.8}", "sha1:{:.39}"])
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_every_form_of_a_ref_finds_the_file(
    pirate: Pirate, honest: Honest, form: str, change: object
) -> None:
    digest = honest.put("file.bin", b"content")
    ref = form.format(str(digest))
    ref = ref.upper() if change is str.upper else ref
    done = pirate("info", ref, "--peer", honest.address, "--json")
    assert done.last["sha1"] == str(digest)


def test_a_ref_of_two_files_is_ambiguous_and_lists_them(pirate: Pirate, honest: Honest) -> None:
    digests = [honest.put(f"{number}", b"%d" % number) for number in _TWINS]
    assert len({str(digest)[:8] for digest in digests}) == 1
    done = pirate("get", str(digests[0])[:8], "--peer", honest.address)
    assert done.code == 14
    assert done.says("ambiguous")
    assert all(str(digest) in done.err for digest in digests)


@pytest.mark.parametrize(
    ("line", "operands"),
    [
        ("serve a --listen x b", "a b"),
        ("serve -q a -v b c --json d", "a b c d"),
        ("get a -d x b -o y", "a b"),
        ("get -i list a --json b -- -c", "a b -c"),
        ("status a --check b", "a b"),
        ("hash a --json -", "a -"),
        ("hash -- -x", "-x"),
        ("hash a --json -- -b", "a -b"),
        ("verify --hidden a --json b", "a b"),
        ("verify", ""),
    ],
)
def test_operands_may_stand_between_flags(line: str, operands: str) -> None:
    arguments = parse(line.split())
    assert getattr(arguments, OPERANDS[arguments.command]) == operands.split()


@pytest.mark.parametrize(
    "line",
    ["serve a --frob b", "hash a -x b", "ls p --on x q", "info a --json b", "peers --json x"],
)
def test_what_is_no_operand_there_is_told(line: str) -> None:
    with pytest.raises(UsageError, match="unrecognized arguments: "):
        parse(line.split())


def test_every_command_that_takes_many_operands_is_known() -> None:
    for command in COMMANDS:
        taken = parse([command, *(["x"] if command in {"info", "hash"} else [])])
        lists = {name for name, value in vars(taken).items() if isinstance(value, list)}
        assert lists == ({OPERANDS[command]} if command in OPERANDS else set())
