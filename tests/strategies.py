"""Values that fit the wire, drawn from the very codecs that messages are declared with."""

from typing import Any, TypeVar

from hypothesis import strategies as st

from pirate.model import Digest, Entry, PeerId
from pirate.wire.entries import RUN_LIMIT, RunCodec
from pirate.wire.fields import Codec, EntryCodec, Fixed, Many, Text, UInt, layout
from pirate.wire.frames import LIMITS, Header
from pirate.wire.messages import MESSAGES, Message

M = TypeVar("M", bound=Message)

# Longer lists and texts find nothing that these do not, and take longer to find it.
_ITEMS = 3
_CHARACTERS = 12


digests = st.binary(min_size=Digest.SIZE, max_size=Digest.SIZE).map(Digest)


def strategy_of(codec: Codec) -> st.SearchStrategy[Any]:
    """Every kind of value that ``codec`` writes, its limits among them."""
    match codec:
        case UInt(width=width):
            return st.integers(0, 256**width - 1)
        case Fixed(type=kind):
            return st.binary(min_size=kind.SIZE, max_size=kind.SIZE).map(kind)
        case Text(limit=limit):
            return st.text(max_size=_CHARACTERS) | st.just("x" * limit)
        case Many(item=item, limit=limit):
            return st.lists(strategy_of(item), max_size=min(limit, _ITEMS)).map(tuple)
        case EntryCodec(fields=fields):
            parts = {name: strategy_of(part) for name, part in fields.items()}
            return st.builds(Entry, **parts).filter(lambda entry: bool(entry.names))
        case RunCodec():
            gone = st.builds(Entry, digests, st.just(0), st.just(()))
            entries = st.lists(strategy_of(EntryCodec()) | gone, max_size=_ITEMS)
            return entries.map(tuple)
    raise AssertionError(f"no strategy for {codec!r}: add one")


def strategy_for(message: type[M]) -> st.SearchStrategy[M]:
    """Messages of one class, drawn from its declaration."""
    return st.builds(
        message, **{name: strategy_of(codec) for name, codec in layout(message).items()}
    )


peer_ids = st.binary(min_size=PeerId.SIZE, max_size=PeerId.SIZE).map(PeerId)
any_message = st.one_of([strategy_for(message) for message in MESSAGES.values()])


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """Headers that pass their limits, of known kinds and of unknown ones."""
    kind = draw(st.sampled_from(sorted(LIMITS)) | st.integers(0, 0xFF))
    length = draw(st.integers(0, LIMITS.get(kind, 100)))
    return Header(kind, draw(st.booleans()), draw(st.integers(0, 6)), length)


def largest(codec: Codec) -> int:
    """The most bytes that a value of ``codec`` takes."""
    match codec:
        case UInt(width=width):
            return width
        case Fixed(type=kind):
            return kind.SIZE
        case Text(limit=limit):
            return 2 + limit
        case Many(item=item, limit=limit):
            return 2 + limit * largest(item)
        case EntryCodec(fields=fields):
            return sum(map(largest, fields.values()))
        case RunCodec():
            return 2 + RUN_LIMIT * largest(EntryCodec())
    raise AssertionError(f"no bound for {codec!r}: add one")
