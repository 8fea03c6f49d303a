"""The vectors, both ways. Their format: ``#`` begins a comment, the rest of a line is hex; in a
conversation a line ``client:`` or ``server:`` says who sends what follows.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chains import digest_of

from pirate import record
from pirate.chain import Chain as FileChain
from pirate.disk.sha1 import Sha1
from pirate.model import Address, Announcement, Digest, PeerId
from pirate.model import Entry as File
from pirate.wire.frames import HEADER_SIZE, Header, Kind
from pirate.wire.messages import (
    MESSAGES,
    Chain,
    Entries,
    Entry,
    Error,
    ErrorCode,
    Find,
    Found,
    Hello,
    Links,
    List,
    Message,
    Peers,
    Read,
    Roster,
    Stat,
    State,
    Status,
    decode,
)
from pirate.wire.session import ClientSession, ServerSession, agree, welcome

VECTORS = Path(__file__).parent / "vectors"

START = Digest(bytes(20))
ABC = Digest(bytes.fromhex("a9993e364706816aba3e25717850c26c9cd0d89d"))
FOX = Digest(bytes.fromhex("2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"))
EMPTY = Digest(bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709"))
LONG = Digest(bytes.fromhex("b2dba52bae5811a02c96d89d219d9af8c1b2348c"))
LONG_FILE = b"a" * 131_073
LONG_STATES = (
    Digest(bytes.fromhex("bed378b1c2ce97875a6aa92e7670538d432d6e8d")),
    Digest(bytes.fromhex("2da15f4828a121cc384bb3e4e2bc154e1c2d0d5d")),
)
ANNE = PeerId(bytes(range(16)))
BONNY = PeerId(bytes(range(16, 32)))
ABC_FILE = File(ABC, 3, ("abc.txt",))
FOX_FILE = File(FOX, 43, ("fox.txt", "copies/füchse.txt"))

RECORDS = tuple(
    record.encode(announcement).decode()
    for announcement in (
        Announcement(
            ANNE,
            "anne",
            (Address("10.0.0.3", 7070), Address("fd00::3", 7070)),
            *("0.1.0", 8, 2, 46, 1_700_000_000.5, "cafe" * 8),
        ),
        Announcement(BONNY, "bonny", (Address("10.0.0.4", 7071),), "0.1.0"),
    )
)

STATE = State(
    pid=4711,
    started=1_700_000_000,
    listen="[::]:7070",
    addresses=("10.0.0.3:7070", "[fd00::3]:7070"),
    folders=("/data",),
    files=2,
    size=46,
    ready=0,
    hashed_files=1,
    files_to_hash=3,
    hashed_bytes=43,
    bytes_to_hash=1_000_046,
    watching=1,
    transfers=2,
    sent=4096,
    registry="etcd+mdns",
    problem="etcd does not answer",
    age=90,
    announced=0,
    peers=1,
)

Said = tuple[int, bool, Message | bytes]

MEANING: dict[Kind, Said] = {
    Kind.HELLO: (0, True, Hello(1, 1, 0, ANNE, "anne", "pirate/0.1.0", "10.0.0.7:51234")),
    Kind.ERROR: (0, True, Error(ErrorCode.BUSY, 1000, "too many guests")),
    Kind.LIST: (1, True, List(7, START, 1000)),
    Kind.ENTRIES: (1, True, Entries(8, 0, 2, 46, (FOX_FILE, ABC_FILE))),
    Kind.STAT: (2, True, Stat(ABC)),
    Kind.ENTRY: (2, True, Entry(ABC_FILE, EMPTY)),
    Kind.READ: (3, True, Read(ABC, 1, 2)),
    Kind.DATA: (3, True, b"bc"),
    Kind.CHAIN: (4, True, Chain(LONG, 0, 2)),
    Kind.LINKS: (4, True, Links(LONG_STATES)),
    Kind.ROSTER: (7, True, Roster(PeerId(bytes(16)), 1000, "")),
    Kind.PEERS: (7, True, Peers(3, 4, 1, RECORDS)),
    Kind.FIND: (8, True, Find("*.txt", 2000)),
    Kind.FOUND: (8, False, Found(BONNY, "", "", (FOX_FILE,))),
    Kind.STATUS: (8, True, Status()),
    Kind.STATE: (8, True, STATE),
}

CHANGES: Said = (1, True, Entries(9, 8, 1, 43, (File(FOX, 43, ("fox.txt",)), File(ABC, 0, ()))))

CONVERSATION: list[tuple[str, list[Said]]] = [
    ("server", [MEANING[Kind.HELLO]]),
    (
        "client",
        [
            (0, True, Hello(1, 1, 0, BONNY, "bonny", "pirate/0.1.0")),
            (1, True, List(0, START, 1000)),
            (2, True, Stat(EMPTY)),
            (3, True, Read(ABC, 0, 3)),
        ],
    ),
    (
        "server",
        [
            (1, True, Entries(8, 0, 1, 3, (ABC_FILE,))),
            (2, True, Error(ErrorCode.NOT_FOUND, 0, "")),
            (3, False, b"ab"),
            (3, True, b"c"),
        ],
    ),
    (
        "client",
        [
            (4, True, List(8, START, 1000)),
            (5, True, Stat(ABC)),
            (6, True, Chain(ABC, 0, 0)),
        ],
    ),
    (
        "server",
        [
            (4, True, Entries(8, 8, 1, 3, ())),
            (5, True, Entry(ABC_FILE, EMPTY)),
            (6, True, Links(())),
        ],
    ),
]


def turns(name: str) -> list[tuple[str, bytes]]:
    """Who says what in a vector; the first speaker is nobody until one is named."""
    found = [("", "")]
    for line in (VECTORS / f"{name}.hex").read_text().splitlines():
        code = line.partition("#")[0].strip()
        if code.endswith(":"):
            found.append((code.removesuffix(":"), ""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + code)
    return [(speaker, bytes.fromhex(code)) for speaker, code in found if code]


def frames(data: bytes) -> Iterator[tuple[Header, bytes]]:
    while data:
        header = Header.decode(data[:HEADER_SIZE])
        end = HEADER_SIZE + header.length
        assert len(data) >= end
        yield header, data[HEADER_SIZE:end]
        data = data[end:]


def meaning(data: bytes) -> list[Said]:
    return [
        (header.request, header.end, body if header.kind == Kind.DATA else decode(header, body))
        for header, body in frames(data)
    ]


def written(said: list[Said]) -> bytes:
    return b"".join(
        Header(Kind.DATA, end, request, len(what)).encode() + what
        if isinstance(what, bytes)
        else what.frame(request, end=end)
        for request, end, what in said
    )


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_a_vector_means_what_it_says_and_is_written_alike(kind: Kind) -> None:
    [(_, data)] = turns(kind.name.lower())
    assert data[2] == kind
    assert meaning(data) == [MEANING[kind]]
    assert written([MEANING[kind]]) == data


def test_changes_mean_what_they_say_and_are_written_alike() -> None:
    [(_, data)] = turns("changes")
    assert meaning(data) == [CHANGES]
    assert written([CHANGES]) == data


def test_the_links_of_the_vector_are_those_of_its_file() -> None:
    assert digest_of(LONG_FILE) == LONG
    chain = FileChain(LONG, len(LONG_FILE), b"".join(LONG_STATES))
    for index in range(chain.count):
        before, after, _ = chain.link(index)
        sha1 = Sha1(before, chain.start(index))
        sha1.update(memoryview(bytearray(chain.length(index) * b"a")))
        assert after == (sha1.digest() if index == 2 else sha1.state())
    assert FileChain(ABC, 3, b"").name == EMPTY


def test_the_conversation_means_what_it_says_and_is_written_alike() -> None:
    assert [(who, meaning(data)) for who, data in turns("conversation")] == CONVERSATION
    assert [(who, written(said)) for who, said in CONVERSATION] == turns("conversation")


def test_every_message_has_a_vector_and_every_vector_is_tested() -> None:
    assert {path.stem for path in VECTORS.iterdir()} == {
        *("changes", "conversation"),
        *(kind.name.lower() for kind in Kind),
    }
    assert set(MESSAGES) < set(MEANING)


def test_the_conversation_keeps_the_rules_of_turn() -> None:
    client, server = ClientSession(), ServerSession()
    greeted = False
    for speaker, data in turns("conversation"):
        for header, body in frames(data):
            if speaker == "client":
                assert server.expects(header)
                said = server.received(header, body)
                assert isinstance(said, Hello) or client.ask(said) == header.encode() + body
            elif greeted:
                assert client.expects(header)
            else:
                assert agree(welcome(header, body)) == 1
                greeted = True
    assert client.idle
