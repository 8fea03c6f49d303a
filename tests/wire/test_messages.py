import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_message, strategy_for

from pirate import record
from pirate.errors import ProtocolError
from pirate.model import Digest
from pirate.model import Entry as File
from pirate.wire.fields import RECORD_LIMIT, RECORDS_LIMIT, STATES_LIMIT
from pirate.wire.frames import HEADER_SIZE, LIMITS, Header, Kind
from pirate.wire.messages import (
    MESSAGES,
    Entries,
    Entry,
    ErrorCode,
    Links,
    Message,
    Peers,
    Read,
    Stat,
    decode,
)

DIGEST = Digest(bytes(range(20)))
PAGE = Entries(1, 0, 2, 3, (File(DIGEST, 4, ("a", "b")),))

all_messages = pytest.mark.parametrize("message", MESSAGES.values(), ids=lambda m: m.__name__)


@all_messages
@given(data=st.data())
def test_a_message_survives_the_wire(message: type[Message], data: st.DataObject) -> None:
    sent = data.draw(strategy_for(message))
    frame = sent.frame(7, end=False)
    header = Header.decode(frame[:HEADER_SIZE])
    assert header == Header(message.KIND, end=False, request=7, length=len(frame) - HEADER_SIZE)
    assert decode(header, frame[HEADER_SIZE:]) == sent


def damaged(body: bytes, at: int, new: bytes) -> bytes:
    return body[: at % (len(body) + 1)] + new + body[at % (len(body) + 1) + len(new) :]


@all_messages
@given(data=st.data())
def test_damage_is_refused_or_is_another_message_with_exactly_those_bytes(
    message: type[Message], data: st.DataObject
) -> None:
    body = data.draw(strategy_for(message)).encode()
    body = damaged(body, data.draw(st.integers(0)), data.draw(st.binary(max_size=4)))
    try:
        received = message.decode(body)
    except ProtocolError:
        return
    assert received.encode() == body


@all_messages
@given(body=st.binary(max_size=100))
def test_garbage_is_a_protocol_error_or_a_message(message: type[Message], body: bytes) -> None:
    try:
        received = message.decode(body)
    except ProtocolError:
        return
    assert received.encode() == body


@given(any_message)
def test_a_body_is_closed(message: Message) -> None:
    with pytest.raises(ProtocolError, match="1 bytes after the last field"):
        type(message).decode(message.encode() + b"\0")


def test_a_body_that_is_cut_anywhere_is_refused() -> None:
    body = PAGE.encode()
    for length in range(len(body)):
        with pytest.raises(ProtocolError):
            Entries.decode(body[:length])


@pytest.mark.parametrize("kind", [0x00, Kind.DATA, 0x18, 0x80])
def test_a_kind_that_is_no_message_is_refused(kind: int) -> None:
    with pytest.raises(ProtocolError, match="no message that we know"):
        decode(Header(kind, end=True, request=1, length=0), b"")


def test_a_message_above_the_limit_of_its_kind_is_not_sent() -> None:
    file = File(DIGEST, 1, ("x" * 1024,) * 16)
    assert len(Entry(file, DIGEST).frame(1)) < LIMITS[Kind.ENTRY]
    with pytest.raises(ValueError, match="ENTRIES of"):
        Entries(1, 0, 4, 4, (file,) * 4).frame(1)


def test_what_does_not_fit_its_field_is_not_sent() -> None:
    with pytest.raises(ValueError, match="does not fit u32"):
        Read(DIGEST, 0, 2**32).frame(1)


def test_the_codes_of_errors_are_numbered_without_a_gap() -> None:
    assert [*ErrorCode] == [*range(1, len(ErrorCode) + 1)]


def test_states_fill_a_frame_and_no_more() -> None:
    most = (DIGEST,) * STATES_LIMIT
    assert LIMITS[Kind.LINKS] - 20 < len(Links(most).encode()) <= LIMITS[Kind.LINKS]
    with pytest.raises(ValueError, match="3277 items"):
        Links((*most, DIGEST)).frame(1)
    with pytest.raises(ProtocolError, match="3277 items"):
        Links.decode((STATES_LIMIT + 1).to_bytes(2) + DIGEST * (STATES_LIMIT + 1))


def test_the_longest_records_fill_a_frame_and_no_more() -> None:
    most = ("x" * RECORD_LIMIT,) * RECORDS_LIMIT
    size = len(Peers(0, 0, 0, most).encode())
    assert LIMITS[Kind.PEERS] - RECORD_LIMIT - 2 < size <= LIMITS[Kind.PEERS]
    assert RECORD_LIMIT == record.WRITTEN_LIMIT
    with pytest.raises(ValueError, match="64 items"):
        Peers(0, 0, 0, (*most, "")).frame(1)


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (Entries, b"\0" * 24 + b"\xff\xff" + b"\0" * 8),  # 65,535 entries, it says
        (Entries, b"\0" * 24 + b"\x07\xff" + (DIGEST + b"\0" * 8 + b"\0\1\0\0") * 2047),
        (Links, b"\x0c\xcc" + DIGEST),  # 3,276 states, it says
        (Links, b"\x0c\xcc" + DIGEST * 3276),
        (Peers, b"\0" * 9 + b"\0\x3f\4\0"),  # 63 records, it says
        (Peers, b"\0" * 9 + b"\0\x3f" + (b"\4\0" + b"x" * 1024) * 63),
    ],
    ids=[
        *("claims", "packed", "states claimed", "states packed"),
        *("records claimed", "records packed"),
    ],
)
def test_decoding_allocates_in_proportion_to_what_has_come(
    message: type[Message], body: bytes
) -> None:
    assert len(body) <= LIMITS[message.KIND]
    tracemalloc.start()
    try:
        message.decode(body)
    except ProtocolError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 * 1024 + 16 * len(body)


def test_a_message_cannot_be_changed() -> None:
    message = Stat(DIGEST)
    with pytest.raises(AttributeError):
        message.digest = DIGEST  # type: ignore[misc]  # the point of the test
