"""Fake peers: each speaks just enough of the protocol to do its harm."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fake import GoneError, Line
from honest import digest_of, hello

from pirate.chain import NO_CHAIN, Chain
from pirate.model import Digest, Entry
from pirate.wire import messages
from pirate.wire.frames import DATA_LIMIT, Header, Kind
from pirate.wire.messages import ErrorCode

# How a holder pays the bytes of one READ, whose number it is given.
Pay = Callable[[Line, int, bytes], None]


def truly(line: Line, number: int, data: bytes) -> None:
    """Pay as an honest server does."""
    for start in range(0, len(data) or 1, DATA_LIMIT):
        part = data[start : start + DATA_LIMIT]
        end = start + len(part) == len(data)
        line.send(Header(Kind.DATA, end, number, len(part)).encode() + part)


@dataclass
class Holder:
    """Answers STAT, CHAIN and READ for one digest. By default honest, and without a chain.

    It answers no STAT before it has hesitated for so many seconds, and ``until`` is true.
    ``states`` are what CHAIN is answered with, if not the chain's own; None keeps silent.
    """

    content: bytes
    digest: Digest = field(default_factory=lambda: Digest(bytes(20)))
    size: int = -1
    told: Digest | None = None
    names: tuple[str, ...] = ("file.bin",)
    pay: Pay = truly
    hesitates: float = 0.0
    until: Callable[[], object] = lambda: True
    chain: Chain | None = None
    states: Sequence[Digest] | None = ()
    sent: int = 0
    reads: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.digest == bytes(20):
            self.digest = digest_of(self.content)
        if self.size < 0:
            self.size = len(self.content)

    def __call__(self, line: Line) -> None:
        line.introduce()
        while True:
            header, body = line.frame()
            match messages.decode(header, body):
                case messages.Stat(digest=digest) if digest == self.digest:
                    if line.stop.wait(self.hesitates):
                        return
                    while not self.until():
                        if line.stop.wait(0.01):
                            return
                    entry = Entry(self.told or digest, self.size, self.names)
                    name = self.chain.name if self.chain else NO_CHAIN
                    line.send(messages.Entry(entry, name).frame(header.request))
                case messages.Chain(first=first, count=count) if self.chain:
                    if self.states is None:
                        line.hold()
                    states = self.states or states_of(self.chain)[first : first + count]
                    line.send(messages.Links(tuple(states)).frame(header.request))
                case messages.Read(offset=offset, length=length):
                    self.reads.append((offset, length))
                    data = self.content[offset : offset + length]
                    self.pay(line, header.request, data.ljust(length, b"\0"))
                    self.sent += length
                case messages.List():
                    entry = Entry(self.told or self.digest, self.size, self.names)
                    line.send(messages.Entries(1, 0, 1, self.size, (entry,)).frame(header.request))
                case _:
                    refusal = messages.Error(ErrorCode.NOT_FOUND, 0, "")
                    line.send(refusal.frame(header.request))


def states_of(chain: Chain) -> tuple[Digest, ...]:
    """What CHAIN is answered with."""
    return tuple(Digest(chain.link(index).after) for index in range(chain.count - 1))


def liar(truth: bytes, *, at: int = -1) -> Holder:
    """Holds the file, but for one flipped bit; the last byte's unless ``at`` says."""
    wrong = bytearray(truth)
    wrong[at] ^= 1
    return Holder(bytes(wrong), digest_of(truth))


def oversized(truth: bytes, size: int) -> Holder:
    """Claims another size, and pads or cuts the file to it."""
    return Holder(truth, digest_of(truth), size=size)


def misnamed(truth: bytes) -> Holder:
    """Answers STAT with the entry of another digest."""
    return Holder(truth, digest_of(truth), told=digest_of(b"another"))


def short(truth: bytes) -> Holder:
    """Ends every answer a byte early."""
    return Holder(truth, pay=lambda line, number, data: truly(line, number, data[:-1]))


def long(truth: bytes) -> Holder:
    """Sends a byte more than was asked for."""
    return Holder(truth, pay=lambda line, number, data: truly(line, number, data + b"!"))


def glutton(truth: bytes) -> Holder:
    """Announces 4 GiB where a frame has at most 1 MiB."""

    def pay(line: Line, number: int, _: bytes) -> None:
        line.send(Header(Kind.DATA, True, number, 0xFFFF_FFFF).encode())
        line.hold()

    return Holder(truth, pay=pay)


def miser(truth: bytes, *, seconds: float = 1.0) -> Holder:
    """Sends a byte, and the next one ``seconds`` later."""

    def pay(line: Line, number: int, data: bytes) -> None:
        length = min(len(data), DATA_LIMIT)
        line.send(Header(Kind.DATA, length == len(data), number, length).encode())
        for byte in data:
            line.send(bytes([byte]))
            if line.stop.wait(seconds):
                raise GoneError

    return Holder(truth, pay=pay)


def dying(truth: bytes, after: int) -> Holder:
    """Sends ``after`` true bytes on each connection, then closes in the middle of a frame."""
    left: dict[Line, int] = {}

    def pay(line: Line, number: int, data: bytes) -> None:
        room = left.get(line, after)
        if room >= len(data):
            left[line] = room - len(data)
            truly(line, number, data)
            return
        length = min(len(data), DATA_LIMIT)
        line.send(Header(Kind.DATA, length == len(data), number, length).encode())
        line.send(data[: min(room, length)])
        raise GoneError

    return Holder(truth, pay=pay)


def frozen(truth: bytes) -> Holder:
    """Promises the bytes and sends none."""
    return Holder(truth, pay=lambda line, _number, _data: line.hold())


def stale(truth: bytes, code: ErrorCode = ErrorCode.STALE) -> Holder:
    """Refuses every READ."""

    def pay(line: Line, number: int, _: bytes) -> None:
        line.send(messages.Error(code, 0, "no more").frame(number))

    return Holder(truth, pay=pay)


def ghost(line: Line) -> None:
    """Closes in the middle of its HELLO."""
    line.send(hello("ghost").frame(0)[:7])


def late_ghost(line: Line) -> None:
    """Closes once the hellos are exchanged."""
    line.introduce()


def mute(line: Line) -> None:
    """Accepts and says nothing."""
    line.hold()


def http(line: Line) -> None:
    """Speaks another protocol, and speaks first."""
    line.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    line.hold()


def busy(line: Line) -> None:
    """Has no room for anybody."""
    line.send(messages.Error(ErrorCode.BUSY, 1000, "too many guests").frame(0))


def old(line: Line) -> None:
    """Speaks versions that nobody speaks any more, or yet."""
    line.send(hello("old", oldest=99, newest=99).frame(0))
    line.hold()


@dataclass
class Babbler:
    """Sends random bytes, the same ones for the same seed; after hellos, if ``politely``."""

    seed: int = 0
    politely: bool = False

    def __call__(self, line: Line) -> None:
        if self.politely:
            line.introduce()
        line.send(random.Random(self.seed).randbytes(4096))
        line.hold()
