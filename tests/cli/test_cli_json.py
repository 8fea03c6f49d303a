"""What --json prints fits docs/schema, after success and after failure."""

import json
import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli.calling import Done, Pirate
from cli.schemas import NAMES, faults, read
from evil import Holder, dying, liar, mute
from fake import Behaviour, Fake
from honest import Honest, digest_of, some_bytes
from jsonschema import Draft202012Validator

from pirate.cli import progress
from pirate.cli.arguments import COMMANDS

CONTENT = some_bytes(1_000_000)
SHA1 = str(digest_of(CONTENT))
NOBODYS = 40 * "0"


def valid(done: Done, command: str) -> bool:
    """Whether each line fits the command's schema, and the last one tells the exit code."""
    found = [fault for each in done.objects for fault in faults(each, command)]
    assert not found, found
    last = done.last
    assert last["exit"] == done.code
    assert last["ok"] == (done.code == 0)
    assert done.err == ""
    return True


@pytest.fixture(name="files")
def _files(honest: Honest) -> Honest:
    """A peer with two files of the same content, and another."""
    honest.put("one.bin", CONTENT)
    honest.put("folder/two.bin", CONTENT)
    honest.put("empty", b"")
    return honest


def test_every_command_has_a_schema_and_every_schema_is_one() -> None:
    assert sorted([*COMMANDS, "head"]) == NAMES
    for name in NAMES:
        Draft202012Validator.check_schema(read(name))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_field_that_no_schema_names_is_noticed(command: str) -> None:
    """The test of the tests below."""
    wrong = {"schema": f"pirate.{command}/1", "type": "result", "ok": True, "code": "ok"}
    assert faults(wrong | {"exit": 0, "nobody": "knows"})


@pytest.mark.parametrize(
    "words",
    [
        ("ls",),
        ("ls", "--long"),
        ("ls", "nothing has this name"),
        ("peers",),
        ("info", SHA1),
        ("info", NOBODYS),
        ("get", SHA1),
        ("get", SHA1, SHA1),
        ("get", SHA1, NOBODYS),
        ("get", NOBODYS, NOBODYS),
        ("get", NOBODYS),
        ("get", SHA1, "-o", "x"),
        ("ls", "--on", "nobody"),
        ("ls", "--bad"),
        ("info", "1"),
    ],
    ids=" ".join,
)
def test_what_a_command_prints_fits_its_schema(
    pirate: Pirate, files: Honest, words: tuple[str, ...]
) -> None:
    done = pirate(*words, "--peer", files.address, "--json")
    assert valid(done, words[0])


@pytest.mark.parametrize("words", [("ls",), ("peers",), ("info", SHA1), ("get", SHA1)])
def test_a_network_without_an_answer_fits_the_schema(
    pirate: Pirate, words: tuple[str, ...]
) -> None:
    assert valid(pirate(*words, "--json"), words[0])
    assert valid(pirate(*words, "--json", "--peer", "127.0.0.1:1"), words[0])
    etcd = ("--discovery", "etcd", "--etcd", "127.0.0.1:1", "--timeout", "200ms")
    assert valid(pirate(*words, "--json", *etcd), words[0])


def test_a_registry_that_never_answered_has_no_age(pirate: Pirate, files: Honest) -> None:
    """Infinity is no JSON."""
    etcd = ("--discovery", "etcd", "--etcd", "127.0.0.1:1", "--timeout", "1s")
    done = pirate("peers", *etcd, "--peer", files.address, "--json")
    assert valid(done, "peers")
    assert done.last["registry"] == {"kind": "etcd+static", "ok": False}
    assert "Infinity" not in done.out


def test_a_peer_that_is_silent_is_listed_beside_those_that_answer(
    pirate: Pirate, files: Honest
) -> None:
    with Fake(mute) as silent:
        flags = ("--peer", files.address, "--peer", silent.address, "--timeout", "2s")
        peers, ls = pirate("peers", "--json", *flags), pirate("ls", "--json", *flags)
    assert valid(peers, "peers")
    assert valid(ls, "ls")
    assert [peer["reachable"] for peer in peers.last["peers"]].count(False) == 1
    assert ls.last["peers_failed"] == [{"peer": str(silent.address), "code": "stall"}]


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [(liar(CONTENT), "integrity"), (dying(CONTENT, 400_000), "ok")],
    ids=["lies", "breaks off"],
)
@pytest.mark.leaves_part_file
def test_a_download_in_trouble_tells_it_in_its_events(
    pirate: Pirate,
    files: Honest,
    behaviour: Behaviour,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "JSON_SECONDS", 0.0)
    with ExitStack() as stack:
        bad = stack.enter_context(Fake(behaviour))
        alone = pirate("get", SHA1, "-d", "alone", "--peer", bad.address, "--json")
        both = pirate("get", SHA1, "--peer", bad.address, "--peer", files.address, "--json")
    assert valid(alone, "get")
    assert valid(both, "get")
    events = [each for each in alone.objects if each["type"] != "progress"]
    assert [each["type"] for each in events[:3]] == ["start", "source", "source"]
    assert [each.get("event") for each in events[1:3]] == ["add", "drop"]
    assert (alone.last["code"], both.last["code"]) == (code, "ok")
    moving = [each for each in both.objects if each["type"] == "progress"]
    assert moving
    assert all(each["sources"] == 1 for each in moving)
    assert moving[-1]["done"] == len(CONTENT)


def test_get_tells_where_the_file_will_be_before_it_is_there(
    pirate: Pirate, files: Honest, tmp_path: Path
) -> None:
    done = pirate("get", SHA1, "-d", tmp_path / "new", "--peer", files.address, "--json")
    assert done.objects[0]["output"] == done.last["path"] == str(tmp_path / "new" / "two.bin")


@pytest.mark.parametrize("how", ["fail", "skip", "overwrite", "rename"])
def test_every_way_with_what_is_there_fits_the_schema(
    pirate: Pirate, files: Honest, tmp_path: Path, how: str
) -> None:
    (tmp_path / "x").write_bytes(b"other")
    get = ("get", SHA1, "-o", "x", "--peer", files.address, "--json", "--if-exists", how)
    assert valid(pirate(*get), "get")
    assert valid(pirate(*get), "get")


def test_hash_fits_its_schema_also_where_a_file_cannot_be_read(
    pirate: Pirate, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    assert valid(pirate("hash", "x", "--json"), "hash")
    some = pirate("hash", "x", "nowhere", "--json")
    assert valid(some, "hash")
    assert [failed["path"] for failed in some.last["failed"]] == ["nowhere"]
    assert valid(pirate("hash", "nowhere", "--json"), "hash")


def test_names_that_are_no_text_are_still_json(pirate: Pirate, tmp_path: Path) -> None:
    (tmp_path / "not utf-8 \udcff").write_bytes(b"")
    done = pirate("hash", "not utf-8 \udcff", "--json")
    assert done.out.isascii()
    assert valid(done, "hash")


def test_the_examples_of_the_documentation_fit_the_schemas() -> None:
    text = (Path(__file__).parents[2] / "docs" / "CLI.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\{.*\}$", text, re.MULTILINE)
    assert len(lines) > 10
    schema = ""
    for line in lines:
        document = json.loads(line)
        schema = document.get("schema", schema)  # the first object of a stream tells it
        command = schema.removeprefix("pirate.").removesuffix("/1")
        assert not faults(document, command), line


def test_a_holder_of_another_size_is_told(pirate: Pirate, files: Honest) -> None:
    with Fake(Holder(CONTENT, digest_of(CONTENT), size=5)) as other:
        flags = ("--peer", files.address, "--peer", other.address)
        done = pirate("info", SHA1, "--json", *flags)
    assert valid(done, "info")
    assert {holder["size"] for holder in done.last["holders"]} == {5, len(CONTENT)}


def test_the_size_of_a_file_that_is_here_already_is_told(pirate: Pirate, files: Honest) -> None:
    get = ("get", SHA1, "--peer", files.address, "--json")
    first, second = pirate(*get), pirate(*get)
    assert valid(second, "get")
    assert second.last["status"] == "present"
    assert second.last["size"] == first.last["size"] == len(CONTENT)
