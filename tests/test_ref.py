import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import digests

from pirate.errors import UsageError
from pirate.model import Digest
from pirate.ref import SHORTEST_PREFIX, Prefix, parse_ref

HEX = "a9993e364706816aba3e25717850c26c9cd0d89d"
BASE32 = "VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5"
ABC = Digest(bytes.fromhex(HEX))


@pytest.mark.parametrize(
    "text",
    [
        HEX,
        HEX.upper(),
        f"  {HEX}\n",
        f"sha1:{HEX}",
        f"SHA1:{HEX.upper()}",
        f"urn:sha1:{BASE32}",
        f"URN:SHA1:{BASE32.lower()}",
        f"magnet:?xt=urn:sha1:{BASE32}",
        f"MAGNET:?XT=URN:SHA1:{BASE32}",
        f"magnet:?dn=abc.txt&xt=urn%3Asha1%3A{BASE32}&xl=3",
        f"magnet:?xt=urn:btih:{HEX}&xt=urn:sha1:{BASE32}",
    ],
)
def test_every_form_names_the_file(text: str) -> None:
    assert parse_ref(text) == ABC


@pytest.mark.parametrize("text", [HEX[:8], HEX[:39], HEX[:8].upper(), f"sha1:{HEX[:9]}"])
def test_the_first_digits_are_a_prefix(text: str) -> None:
    prefix = parse_ref(text)
    assert isinstance(prefix, Prefix)
    assert str(prefix) == text.lower().removeprefix("sha1:")
    assert prefix.matches(ABC)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "hex digits are expected"),
        ("sha1:", "hex digits are expected"),
        ("abc.txt", "hex digits are expected"),
        (HEX[:-1] + "g", "hex digits are expected"),
        (HEX[:20] + " " + HEX[20:], "hex digits are expected"),
        ("\uff11" * 40, "hex digits are expected"),  # digits, but not of this alphabet
        (HEX[:7], "has 7 hex digits"),
        (HEX + "0", "has 41 hex digits"),
        ("urn:sha1:", "32 base32 characters"),
        (f"urn:sha1:{HEX}", "32 base32 characters"),
        (f"urn:sha1:{BASE32[:-1]}", "32 base32 characters"),
        (f"urn:sha1:{BASE32[:-1]}1", "32 base32 characters"),
        (f"urn:sha1:{BASE32}========", "32 base32 characters"),
        ("urn:sha1:" + "é" * 32, "32 base32 characters"),
        ("magnet:?", "names no xt=urn:sha1"),
        (f"magnet:?xt=urn:btih:{HEX}", "names no xt=urn:sha1"),
        ("magnet:?xt=urn:sha1:abc", "32 base32 characters"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_ref(text)


@given(st.text())
def test_no_text_does_worse_than_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse_ref(text), Digest | Prefix)


@given(digests)
def test_a_digest_is_named_by_how_it_is_shown(digest: Digest) -> None:
    assert parse_ref(str(digest)) == digest


@given(digests, digests, st.integers(SHORTEST_PREFIX, 39))
def test_a_prefix_matches_what_begins_with_it(one: Digest, other: Digest, length: int) -> None:
    prefix = parse_ref(str(one)[:length])
    assert isinstance(prefix, Prefix)
    assert prefix.matches(one)
    assert prefix.matches(other) == str(other).startswith(str(prefix))


# All zeros is below no cursor, so it cannot be listed (docs/PROTOCOL.md, "Listing").
@given(st.lists(digests.filter(any), min_size=1), st.integers(SHORTEST_PREFIX, 39))
def test_a_listing_after_the_cursor_starts_at_the_first_match(
    others: list[Digest], length: int
) -> None:
    prefix = Prefix(str(others[0])[:length])
    after = [digest for digest in sorted(others) if digest > prefix.cursor]
    assert prefix.matches(after[0])


def test_the_cursor_is_right_below_the_first_digest_that_can_match() -> None:
    assert str(Prefix(HEX[:8]).cursor) == "a9993e35" + "f" * 32
    assert str(Prefix("00000001").cursor) == "0" * 8 + "f" * 32


def test_the_cursor_of_the_least_prefix_is_the_beginning() -> None:
    assert Prefix("0" * SHORTEST_PREFIX).cursor == Digest(bytes(20))
