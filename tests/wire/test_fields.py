import pytest

from pirate.errors import ProtocolError
from pirate.model import Digest, Entry
from pirate.wire.fields import Codec, EntryCodec, Fixed, Many, Reader, Text, UInt, fitted

DIGEST = Digest(bytes(range(20)))
NAMELESS = Entry(DIGEST, 1, ())


def decoded(codec: Codec, data: bytes) -> object:
    reader = Reader(data)
    value = codec.decode(reader)
    reader.close()
    return value


@pytest.mark.parametrize(
    ("codec", "value", "data"),
    [
        (UInt(1), 255, b"\xff"),
        (UInt(2), 258, b"\x01\x02"),
        (UInt(8), 2**64 - 1, b"\xff" * 8),
        (Fixed(Digest), DIGEST, bytes(range(20))),
        (Text(4), "", b"\0\0"),
        (Text(4), "é", b"\0\2\xc3\xa9"),
        (Text(4), "a\0b", b"\0\3a\0b"),
        (Text(4), "\ufeff", b"\0\3\xef\xbb\xbf"),
        (Many(UInt(1), 2), (), b"\0\0"),
        (Many(UInt(1), 2), (7, 8), b"\0\2\7\x08"),
        (EntryCodec(), Entry(DIGEST, 3, ("a",)), DIGEST + b"\0" * 7 + b"\3\0\1\0\1a"),
    ],
)
def test_a_value_and_its_bytes_stand_for_each_other(
    codec: Codec, value: object, data: bytes
) -> None:
    assert codec.encode(value) == data
    assert decoded(codec, data) == value


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (UInt(1), 256),
        (UInt(4), -1),
        (Text(4), "12345"),
        (Text(4), "€€"),
        (Text(4), "\udcff"),
        (Many(UInt(1), 2), (1, 2, 3)),
        (Many(UInt(1), 2), (1, 256)),
        (EntryCodec(), NAMELESS),
        (EntryCodec(), Entry(DIGEST, 2**64, ("a",))),
    ],
)
def test_a_value_that_does_not_fit_is_not_written(codec: Codec, value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
        codec.encode(value)


@pytest.mark.parametrize(
    ("codec", "data", "why"),
    [
        (UInt(4), b"\0\0\0", "ends inside a field"),
        (Fixed(Digest), b"\0" * 19, "ends inside a field"),
        (Text(4), b"\0", "ends inside a field"),
        (Text(4), b"\0\3ab", "ends inside a field"),
        (Text(4), b"\0\5abcde", "a text of 5 bytes"),
        (Text(4), b"\xff\xff", "a text of 65535 bytes"),
        (Text(4), b"\0\1\xff", "not UTF-8"),
        (Text(4), b"\0\2\xc0\x80", "not UTF-8"),  # an overlong NUL
        (Text(4), b"\0\3\xed\xa0\x80", "not UTF-8"),  # half a surrogate pair
        (Many(UInt(1), 2), b"\0\3abc", "3 items"),
        (Many(UInt(1), 2), b"\0\2a", "ends inside a field"),
        (EntryCodec(), DIGEST + b"\0" * 10, "without a name"),
        (UInt(1), b"\0\0", "1 bytes after the last field"),
    ],
)
def test_bytes_that_are_no_value_are_a_protocol_error(codec: Codec, data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        decoded(codec, data)


def test_every_codec_is_called_what_the_specification_calls_it() -> None:
    codecs: list[Codec] = [UInt(1), UInt(8), Fixed(Digest), Text(64), Many(EntryCodec(), 5)]
    assert [codec.spec for codec in codecs] == [
        "u8",
        "u64",
        "sha1",
        "text(64)",
        "many(5) of entry",
    ]


@pytest.mark.parametrize(
    ("text", "limit", "fits"),
    [("abc", 3, "abc"), ("abcd", 3, "abc"), ("aé", 2, "a"), ("a\udcff", 9, "a\ufffd"), ("", 0, "")],
)
def test_as_much_of_a_text_as_fits_is_a_text_that_can_be_sent(
    text: str, limit: int, fits: str
) -> None:
    assert fitted(text, limit) == fits
    assert Text(limit).encode(fitted(text, limit))
