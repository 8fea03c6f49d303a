"""Holders that offer chains: honest ones, and all ways to lie, dawdle and vanish behind one."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from random import Random

from evil import Holder, Pay, states_of, truly
from fake import GoneError, Line
from honest import digest_of

from pirate.chain import Chain, segment_size, segments
from pirate.disk.sha1 import Sha1
from pirate.model import Digest
from pirate.wire.frames import DATA_LIMIT, Header, Kind

# In how many portions a second a holder of a limited rate sends.
_PORTIONS = 100


def chain_of(data: bytes, digest: Digest | None = None) -> Chain:
    """The chain of some bytes, said to be that of ``digest``."""
    step = segment_size(len(data))
    sha1 = Sha1()
    states = []
    for start in range(0, len(data), step):
        if start:
            states.append(sha1.state())
        sha1.update(memoryview(bytearray(data[start : start + step])))
    return Chain(digest or digest_of(data), len(data), b"".join(states))


def flipped(data: bytes, segment: int) -> bytes:
    """The bytes with one flipped bit, in the middle of a segment."""
    step = segment_size(len(data))
    start = segment % segments(len(data)) * step
    wrong = bytearray(data)
    wrong[(start + min(start + step, len(data))) // 2] ^= 1
    return bytes(wrong)


def with_states(chain: Chain, wrong: dict[int, bytes]) -> Chain:
    """The chain with other states behind these segments."""
    states = [wrong.get(index, state) for index, state in enumerate(states_of(chain))]
    return Chain(chain.digest, chain.size, b"".join(states))


def honest(truth: bytes) -> Holder:
    """What a real server is."""
    return Holder(truth, chain=chain_of(truth))


# Liars about the bytes.


def flips(truth: bytes, segment: int = 0) -> Holder:
    """The true chain, and one flipped bit in a segment; -1 is the last one."""
    return Holder(flipped(truth, segment), digest_of(truth), chain=chain_of(truth))


def flips_some(truth: bytes, segments_: set[int]) -> Holder:
    """The true chain; lies on some segments only."""
    wrong = truth
    for segment in segments_:
        wrong = flipped(wrong, segment)
    return Holder(wrong, digest_of(truth), chain=chain_of(truth))


def alternates(truth: bytes, every: int = 2) -> Holder:
    """The true chain; each ``every``-th answer on a connection is wrong."""
    answers: dict[Line, int] = {}

    def pay(line: Line, number: int, data: bytes) -> None:
        answers[line] = answers.get(line, 0) + 1
        if answers[line] % every == 0:
            data = bytes([data[0] ^ 1]) + data[1:]
        truly(line, number, data)

    return Holder(truth, chain=chain_of(truth), pay=pay)


def another_file(truth: bytes, other: bytes) -> Holder:
    """The true chain, and the bytes of another file of the same size."""
    return Holder(other[: len(truth)], digest_of(truth), chain=chain_of(truth))


# Liars about the chain.


def invents_states(truth: bytes, seed: int = 0) -> Holder:
    """A chain of random states, and true bytes."""
    rng, chain = Random(seed), chain_of(truth)
    false = Chain(chain.digest, chain.size, rng.randbytes(len(chain.states)))
    return Holder(truth, digest_of(truth), chain=false)


def invents_one_state(truth: bytes, at: int, seed: int = 0) -> Holder:
    """A chain that leaves the true one behind a segment, and joins it again after the next."""
    chain = chain_of(truth)
    wrong = {at % (chain.count - 1): Random(seed).randbytes(20)}
    return Holder(truth, digest_of(truth), chain=with_states(chain, wrong))


def rejoins(truth: bytes, at: int) -> Holder:
    """Another file and its own chain until ``at``; the true ones from there on.

    All its segments prove their links, but for the one in which the chains meet.
    """
    start = chain_of(truth).start(at)
    content = Random(at).randbytes(start) + truth[start:]
    own = states_of(chain_of(content))[: at - 1]
    chain = with_states(chain_of(truth), dict(enumerate(own)))
    return Holder(content, digest_of(truth), chain=chain)


def another_chain(truth: bytes, other: bytes) -> Holder:
    """Another file with its own, sound chain: all holds but the end."""
    digest = digest_of(truth)
    return Holder(other, digest, chain=chain_of(other, digest))


def resized(truth: bytes, size: int) -> Holder:
    """Another size: the file is cut or padded to it, with the chain that this has."""
    content = truth[:size].ljust(size, b"\0")
    digest = digest_of(truth)
    return Holder(content, digest, chain=chain_of(content, digest))


def misnames_chain(truth: bytes) -> Holder:
    """Names one chain and sends another."""
    holder = honest(truth)
    states = list(states_of(chain_of(truth)))
    states[0] = Digest(bytes(20))
    holder.states = states
    return holder


def more_states(truth: bytes) -> Holder:
    """A state more than the file has."""
    holder = honest(truth)
    holder.states = (*states_of(chain_of(truth)), Digest(bytes(20)))
    return holder


def fewer_states(truth: bytes) -> Holder:
    """A state less than the file has."""
    holder = honest(truth)
    holder.states = states_of(chain_of(truth))[:-1]
    return holder


def mute_after_chain(truth: bytes) -> Holder:
    """Is asked for its chain and says nothing more."""
    holder = honest(truth)
    holder.states = None
    return holder


# Those that lie about nothing, and do not deliver.


def at_rate(rate: float) -> Pay:
    """Pay at most ``rate`` bytes a second, on all connections together."""
    lock = threading.Lock()  # guards free
    portion = max(1, int(rate / _PORTIONS))
    free = 0.0

    def wait(line: Line, count: int) -> None:
        nonlocal free
        with lock:
            now = time.monotonic()
            free = max(free, now - 1 / _PORTIONS) + count / rate
            seconds = free - now
        if line.stop.wait(max(0.0, seconds)):
            raise GoneError

    def pay(line: Line, number: int, data: bytes) -> None:
        line.send(Header(Kind.DATA, True, number, len(data)).encode())
        for at in range(0, len(data), portion):
            some = data[at : at + portion]
            wait(line, len(some))
            line.send(some)

    return pay


def slow(truth: bytes, rate: float) -> Holder:
    """An honest holder, but ``rate`` bytes a second is all that it has."""
    return Holder(truth, chain=chain_of(truth), pay=at_rate(rate))


def slow_lines(truth: bytes, rate: float) -> Holder:
    """An honest holder that sends at most ``rate`` bytes a second on each of its connections."""
    pays: defaultdict[Line, Pay] = defaultdict(lambda: at_rate(rate))
    return Holder(truth, chain=chain_of(truth), pay=lambda line, *rest: pays[line](line, *rest))


def _until(after: int, end: Callable[[Line], None]) -> Pay:
    """Pay ``after`` bytes on each connection, then ``end`` in the middle of a frame."""
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
        end(line)

    return pay


def freezes(truth: bytes, after: int) -> Holder:
    """Sends ``after`` true bytes on each connection, and no more."""
    return Holder(truth, chain=chain_of(truth), pay=_until(after, Line.hold))


def dies(truth: bytes, after: int) -> Holder:
    """Sends ``after`` true bytes on each connection, then closes it."""

    def end(_: Line) -> None:
        raise GoneError

    return Holder(truth, chain=chain_of(truth), pay=_until(after, end))
