"""``get --range`` as scripts meet it: the words of its errors, its JSON, and stdout."""

from pathlib import Path

import pytest
from cli.calling import Pirate
from cli.schemas import faults
from evil import Holder
from fake import Fake
from honest import Honest, digest_of, some_bytes

from pirate.byterange import ByteRange

CONTENT = some_bytes(1_000_000)
SHA1 = str(digest_of(CONTENT))


@pytest.fixture(name="peer")
def _peer(honest: Honest) -> tuple[str, str]:
    honest.put("one.bin", CONTENT)
    honest.put("empty", b"")
    return "--peer", str(honest.address)


@pytest.mark.parametrize(
    "asked", ["0-0", "1000-1999", "999990-", "-5", "-2000000", "999999-1000000"]
)
def test_a_range_ends_in_a_file_of_its_own(
    pirate: Pirate, peer: tuple[str, str], tmp_path: Path, asked: str
) -> None:
    start, stop = ByteRange.parse(asked).within(len(CONTENT))
    done = pirate("get", SHA1, *peer, "-o", "part", "--range", asked)
    assert (done.code, done.out) == (0, "part\n")
    assert (tmp_path / "part").read_bytes() == CONTENT[start:stop]
    assert f"{stop - start:,} bytes from byte {start:,} on, verified" in done.err
    whole = stop - start == len(CONTENT)
    assert ("under the chain that its holders vouch for" in done.err) != whole


@pytest.mark.parametrize(("asked", "proof"), [("10-19", "chain"), ("0-", "digest")])
def test_json_names_the_range_and_what_proves_it(
    pirate: Pirate, peer: tuple[str, str], asked: str, proof: str
) -> None:
    done = pirate("get", SHA1, *peer, "-o", "part", "--range", asked, "--json")
    assert not [fault for each in done.objects for fault in faults(each, "get")]
    start, count = (10, 10) if proof == "chain" else (0, len(CONTENT))
    assert done.last["range"] == {"start": start, "bytes": count}
    assert done.last["proof"] == proof
    assert done.last["size"] == len(CONTENT)


def test_json_of_a_whole_file_and_of_a_skipped_one_has_neither(
    pirate: Pirate, peer: tuple[str, str]
) -> None:
    assert not {"range", "proof"} & pirate("get", SHA1, *peer, "-o", "x", "--json").last.keys()
    flags = ("--range", "0-9", "--if-exists", "skip", "--json")
    skipped = pirate("get", SHA1, *peer, "-o", "x", *flags)
    assert not faults(skipped.last)
    assert skipped.last["status"] == "skipped"


def test_without_a_chain_the_digest_proves_it(pirate: Pirate, tmp_path: Path) -> None:
    with Fake(Holder(CONTENT)) as fake:
        done = pirate("get", SHA1, "--peer", fake.address, "-o", "x", "--range", "5-9", "--json")
    assert not [fault for each in done.objects for fault in faults(each, "get")]
    assert (done.last["proof"], done.last["received_bytes"]) == ("digest", len(CONTENT))
    assert (tmp_path / "x").read_bytes() == CONTENT[5:10]


@pytest.mark.parametrize(
    ("content", "asked"), [(CONTENT, "1000000-"), (CONTENT, "2000000-3000000"), (b"", "0-")]
)
def test_a_range_behind_the_end_is_told_with_the_size(
    pirate: Pirate, peer: tuple[str, str], tmp_path: Path, content: bytes, asked: str
) -> None:
    size = len(content)
    done = pirate("get", digest_of(content), *peer, "-q", "-o", "x", "--range", asked)
    assert done.code == 2
    assert done.says("usage")
    assert f"the range {asked} begins behind the end: the file has {size} bytes" in done.err
    assert "choose a range" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["share"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((SHA1, "--range", "0-9"), "--range needs -o"),
        ((SHA1, "--range", "0-9", "-d", "."), "a part must not get the name of the whole file"),
        ((SHA1, SHA1, "--range", "0-9", "-o", "x"), "exactly one REF; see"),
        ((SHA1, "--range", "9-0", "-o", "x"), "'9-0' has no bytes"),
        ((SHA1, "--range", "-0", "-o", "x"), "'-0' has no bytes"),
        ((SHA1, "--range", "1K-2K", "-o", "x"), "--range: '1K-2K' is not A-B, A- or -N"),
        ((SHA1, "--range", "", "-o", "x"), "--range: '' is not"),
        ((SHA1, "--range", "0-9", "-o", "-", "--json"), "both want stdout"),
    ],
)
def test_what_makes_no_sense_is_told_before_anybody_is_asked(
    pirate: Pirate, words: tuple[str, ...], told: str
) -> None:
    done = pirate("get", *words)
    assert done.code == 2
    assert told in done.err + done.out


def test_a_name_that_is_taken_is_left_alone(
    pirate: Pirate, peer: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(CONTENT[:10])
    done = pirate("get", SHA1, *peer, "-o", "x", "--range", "0-9")
    assert done.code == 9
    assert done.says("exists")
    done = pirate("get", SHA1, *peer, "-o", "x", "--range", "0-9", "--if-exists", "skip")
    assert (done.code, done.out) == (0, "")
    assert "x exists and was left alone" in done.err
