"""``pirate get`` of several large files: some at once."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli.calling import Done, Pirate
from cli.schemas import faults
from honest import SOON, Honest, digest_of, some_bytes

from pirate.disk.tree import Shares
from pirate.fetch.errand import SMALL_BYTES
from pirate.library import Library
from pirate.model import Digest
from pirate.scope import Stop
from pirate.serve.handler import Handler
from pirate.wire.messages import Read

FILES = {f"large{i}": some_bytes(SMALL_BYTES + 1 + i, i) for i in range(4)}
NOBODYS = 40 * "0"

Get = Callable[..., Done]


def listed(names: dict[str, bytes]) -> str:
    return "".join(f"{digest_of(content)}  {name}\n" for name, content in names.items())


@pytest.fixture(name="get")
def _get(pirate: Pirate, honest: Honest, tmp_path: Path) -> Get:
    for name, content in FILES.items():
        honest.put(name, content)

    def get(names: dict[str, bytes], *flags: object) -> Done:
        (tmp_path / "list").write_text(listed(names))
        return pirate("get", "-i", "list", "-d", "out", "--peer", honest.address, *flags)

    return get


def arrived(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("at_once", [1, 3, 16])
def test_large_files_come_and_each_is_told(get: Get, tmp_path: Path, at_once: int) -> None:
    done = get(FILES, "-j", at_once)
    assert done.code == 0
    assert arrived(tmp_path / "out") == FILES
    assert sorted(done.out.split()) == [f"out/{name}" for name in FILES]


def test_the_first_bytes_of_two_are_asked_for_before_either_is_there(
    pirate: Pirate, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    two = dict(list(FILES.items())[:2])
    for name, content in two.items():
        (folder / name).write_bytes(content)
    library = Library(Shares([str(folder)]), rescan=SOON)
    library.scan(Stop())
    handler, asked, both = Handler(library), set[Digest](), threading.Event()
    there: list[list[str]] = []

    def answer(channel, number, request, host):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if isinstance(request, Read):
            asked.add(request.digest)
            if len(asked) == 2 and not both.is_set():
                there.append([path.name for path in (tmp_path / "out").glob("large*")])
                both.set()
            both.wait(SOON)
        handler.answer(channel, number, request, host)

    with ExitStack() as stack:
        server = stack.enter_context(Honest(folder, answer=answer))
        (tmp_path / "list").write_text(listed(two))
        done = pirate("get", "-q", "-i", "list", "-d", "out", "--peer", server.address, "-j", "2")
    assert done.code == 0
    assert there[0] == []
    assert arrived(tmp_path / "out") == two


def test_a_file_that_the_list_has_twice_is_not_busy(get: Get, tmp_path: Path) -> None:
    twins = {**FILES, "twin": FILES["large1"], "other twin": FILES["large1"]}
    done = get(twins, "-j", "4")
    assert (done.code, "busy" in done.err) == (0, False)
    assert arrived(tmp_path / "out") == twins


def test_one_that_fails_does_not_stop_the_others(get: Get, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "large2").write_bytes(b"other content")
    done = get(FILES, "--json", "-j", "3")
    assert done.code == 11
    assert [each for each in done.objects if faults(each, "get")] == []
    assert (done.last["done"], done.last["failed"]) == (3, 1)
    codes = [each["code"] for each in done.objects if each["type"] == "result"]
    assert sorted(codes) == ["exists", "ok", "ok", "ok"]


def test_events_tell_which_file_they_are_of(get: Get) -> None:
    done = get(FILES, "--json", "-j", "3")
    starts = {each["ref"] for each in done.objects if each["type"] == "start"}
    sources = {each["ref"] for each in done.objects if each["type"] == "source"}
    assert starts == sources == {str(digest_of(content)) for content in FILES.values()}


def test_under_a_low_limit_they_are_fewer(get: Get, tmp_path: Path) -> None:
    one = {"large0": FILES["large0"], "large1": FILES["large1"]}
    done = get(one, "--limit-down", "2M", "-j", "16", "-s", "64", "--stall-timeout", "2s")
    assert done.code == 0
    assert arrived(tmp_path / "out") == one
