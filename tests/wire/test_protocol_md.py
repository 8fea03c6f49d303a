"""docs/PROTOCOL.md is held to the code, and the code to it."""

import json
from pathlib import Path

import pytest
from wire.test_vectors import RECORDS

from pirate import record
from pirate.chain import (
    INITIAL,
    MIB,
    MOST_BYTES,
    MOST_LINKS,
    MOST_SEGMENT,
    NO_CHAIN,
    SEGMENTS,
    Chain,
    segment_size,
)
from pirate.errors import StalledError, UnaskedError
from pirate.net.channel import LEAST_PROGRESS
from pirate.net.conversation import HELLO_SECONDS, MOST_PEERS, PULSE_SECONDS, SILENCE_SECONDS
from pirate.net.reception import Limits
from pirate.wire.fields import EntryCodec, layout
from pirate.wire.frames import CONTROL_LIMIT, END, HEADER_SIZE, LIMITS, MAGIC, Kind
from pirate.wire.messages import MESSAGES, NEWEST_VERSION, OLDEST_VERSION, UNKNOWN_AGE, ErrorCode
from pirate.wire.session import ANSWERS, LAST_REQUEST

ROOT = Path(__file__).parents[2]
VECTORS = Path(__file__).parent / "vectors"
TEXT = (ROOT / "docs" / "PROTOCOL.md").read_text()

Row = tuple[str, ...]


def section(title: str) -> str:
    """What stands under a heading, up to the next one of whatever level."""
    [_, after] = ("\n" + TEXT).split(f"# {title}\n")
    return after.partition("\n#")[0]


def table(title: str) -> list[Row]:
    """The rows of the one table under a heading, without its head."""
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in section(title).splitlines()
        if line.startswith("|")
    ]
    assert set(rows[1]) == {"---"}, f"{title}: no table"
    return rows[2:]


def fields(title: str) -> list[Row]:
    return [row[:2] for row in table(title)]


def test_the_kinds_are_those_of_the_code() -> None:
    assert [
        (int(number, 16), name, int(limit)) for number, name, _, limit, _ in table("Kinds")
    ] == [(kind.value, kind.name, LIMITS[kind]) for kind in Kind]
    assert f"A kind that is not in the table has a limit of {CONTROL_LIMIT}." in section("Kinds")


def test_a_client_sends_the_requests_and_a_server_the_answers() -> None:
    senders = {row[1]: row[2] for row in table("Kinds")}
    assert {name for name, sender in senders.items() if sender == "client"} == {
        Kind(kind).name for kind in ANSWERS
    }
    assert {name for name, sender in senders.items() if sender == "server"} == {
        "ERROR",
        *(kind.name for kind in ANSWERS.values()),
    }
    assert {name for name, sender in senders.items() if sender == "both"} == {"HELLO"}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.name)
def test_the_fields_of_a_message_are_those_of_the_code(kind: Kind) -> None:
    declared = layout(MESSAGES[kind])
    assert fields(kind.name) == [(name, codec.spec) for name, codec in declared.items()]


def test_the_fields_of_an_entry_are_those_of_the_code() -> None:
    assert fields("entry") == [(name, codec.spec) for name, codec in EntryCodec.fields.items()]


def test_every_table_of_fields_is_of_something_that_the_code_has() -> None:
    described = TEXT.count("| Field | Type | Meaning |")
    assert described == len(MESSAGES) + len(["the header", "the entry"])


def test_the_header_is_as_long_as_its_fields() -> None:
    widths = {"u8": 1, "u16": 2, "u32": 4}
    rows = {name: (kind, meaning) for name, kind, meaning in table("Frames")}
    assert [*rows] == ["magic", "kind", "flags", "request", "length"]
    assert sum(widths[kind] for kind, _ in rows.values()) == HEADER_SIZE
    assert f"`{MAGIC:#06x}`" in rows["magic"][1]
    assert f"`{END:#04x}` is END" in rows["flags"][1]


def test_the_errors_are_those_of_the_code() -> None:
    assert [(int(row[0]), row[1]) for row in table("Errors")] == [
        (code.value, code.name) for code in ErrorCode
    ]


def test_files_are_cut_as_the_table_says() -> None:
    rows = [(int(size), int(segment)) for size, segment in table("States")]
    assert [segment_size(size) for size, _ in rows] == [segment for _, segment in rows]
    assert [segment_size(size + 1) for size, _ in rows[:-1]] == [segment for _, segment in rows[1:]]
    assert segment_size(0) == rows[0][1]
    assert rows[-1][0] == MOST_BYTES


def test_the_numbers_of_the_chain_are_those_of_the_code() -> None:
    assert f"below {MOST_SEGMENT // MIB} MiB and {SEGMENTS} segments" in section("States")
    assert f"{MOST_LINKS} segments" in section("States")
    assert f"`{Chain(NO_CHAIN, 0, b'').name}`" in section("States")
    assert f"`{INITIAL.hex()}`" in section("Proving a segment")
    assert f"{len(NO_CHAIN)} zeros" in section("ENTRY")
    assert not any(NO_CHAIN)


def test_the_records_of_peers_are_those_of_the_code() -> None:
    vector = RECORDS[0]
    assert [row[0] for row in table("Records")] == [*json.loads(vector)]
    assert record.decode(vector.encode()).name == "anne"
    rows = {row[0]: row[1] for row in table("Records")}
    assert f"at most {record.NAME_LIMIT} bytes" in rows["name"]
    assert f"at most {record.VERSION_LIMIT} bytes" in rows["version"]
    assert f"1 to {record.ADDRESSES_LIMIT} texts" in rows["addresses"]
    assert f"{UNKNOWN_AGE} if it never did" in section("PEERS")
    assert f"such as {MOST_PEERS}" in section("Peers of peers")


def test_the_deadlines_are_those_of_the_code() -> None:
    limits = Limits()
    rows = table("Deadlines")
    assert {row[0]: float(row[1]) for row in rows} == {
        "hello": limits.hello,
        "request": limits.request,
        "progress": limits.stall,
        "idle": limits.idle,
    }
    assert limits.hello == HELLO_SECONDS
    assert f"at least {LEAST_PROGRESS} bytes" in rows[2][2]


def test_the_words_and_times_of_a_search_are_those_of_the_code() -> None:
    said = section("Finding")
    assert f"has the code `{StalledError.code}`. `{UnaskedError.code}` says" in said
    assert PULSE_SECONDS == 1.0
    assert f"silent for {SILENCE_SECONDS:g}." in said


def test_the_version_and_the_last_request_number_are_those_of_the_code() -> None:
    assert OLDEST_VERSION == NEWEST_VERSION
    assert TEXT.startswith(f"# The pirate protocol, version {NEWEST_VERSION}\n")
    assert f"from {LAST_REQUEST} on to 1 again" in section("Requests and answers")


def test_the_appendix_shows_the_vectors_as_they_are() -> None:
    shown = TEXT.partition("\n## Appendix: vectors\n")[2].split("\n### ")[1:]
    names = [*(kind.name.lower() for kind in Kind), "changes", "conversation"]
    assert shown == [
        f"{name}.hex\n\n```text\n{(VECTORS / f'{name}.hex').read_text()}```\n" for name in names
    ]


def test_every_link_inside_the_page_leads_somewhere() -> None:
    headings = {
        line.lstrip("# ").lower().replace(":", "").replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    targets = {part.partition(")")[0] for part in TEXT.split("](#")[1:]}
    assert targets <= headings
