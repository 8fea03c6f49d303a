"""Who holds it: ask all peers at once, and take the answers as they come."""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import NamedTuple

from pirate.deadline import Deadline
from pirate.errors import AmbiguousError, NoNetworkError, NotFoundError, PeerError, RefusedError
from pirate.model import Digest, Entry, Peer
from pirate.net.dial import Dialer
from pirate.net.survey import Ask, survey
from pirate.ref import Prefix
from pirate.scope import Stop

# How long a peer may take to answer a search, in seconds. If it needs longer it is asked again
# later.
SEARCH_SECONDS = 5.0

# How a peer says that it cannot give a file. Other refusals, as BUSY, say nothing about it.
_NO = {"not_found", "stale", "denied"}

# More matches than this of one prefix are not worth listing.
_MATCHES = 16


class Holder(NamedTuple):
    """A peer that says it has the file, its entry for it, and the name of its chain."""

    peer: Peer
    entry: Entry
    chain: Digest


Answer = tuple[Peer, Holder | PeerError]


def search(
    digest: Digest, peers: Sequence[Peer], dialer: Dialer, deadline: Deadline, stop: Stop
) -> Generator[Answer, None, None]:
    """Ask every peer for ``digest``; yields each with its Holder, or why it is none."""
    return survey(peers, holding(digest, dialer), deadline, stop, each=SEARCH_SECONDS)


def holding(digest: Digest, dialer: Dialer) -> Ask[Holder]:
    """What a search asks each peer."""

    def ask(peer: Peer, deadline: Deadline, stop: Stop) -> Holder:
        with dialer.talk(peer, deadline, stop) as conversation:
            entry, chain = conversation.stat(digest, deadline)
            return Holder(peer.met(conversation.peer.peer, conversation.peer.name), entry, chain)

    return ask


def complete(
    prefix: Prefix, peers: Sequence[Peer], dialer: Dialer, deadline: Deadline, stop: Stop
) -> Digest:
    """The one digest of the network that begins with ``prefix``.

    Raises AmbiguousError, which lists them, if there are several, and NotFoundError or
    NoNetworkError if there is none.
    """

    def ask(peer: Peer, deadline: Deadline, stop: Stop) -> list[Digest]:
        with dialer.talk(peer, deadline, stop) as conversation:
            page = conversation.list(0, prefix.cursor, _MATCHES, deadline)
            return [entry.digest for entry in page.entries if prefix.matches(entry.digest)]

    matches: set[Digest] = set()
    missed: list[tuple[Peer, PeerError]] = []
    with closing(survey(peers, ask, deadline, stop, each=SEARCH_SECONDS)) as answers:
        for peer, answer in answers:
            if isinstance(answer, PeerError):
                missed.append((peer, answer))
            else:
                matches.update(answer)
    if len(matches) > 1:
        several = " ".join(sorted(map(str, matches)))
        raise AmbiguousError(f"{prefix} begins several digests: {several}")
    if not matches:
        raise nobody(str(prefix), len(peers), missed)
    return matches.pop()


Missed = tuple[Peer, PeerError]


def says_no(missed: Missed) -> bool:
    """Whether a peer has answered that it cannot give the file."""
    error = missed[1]
    return isinstance(error, RefusedError) and error.code in _NO


def nobody(what: str, asked: int, missed: Sequence[Missed]) -> NotFoundError | NoNetworkError:
    """The error for a search without a holder: who could not be asked makes the difference."""
    dead = [each for each in missed if not says_no(each)]
    if not asked:
        return NotFoundError(f"{what}: there are no peers yet")
    if len(dead) == asked:
        peer, error = dead[0]
        others = f", nor do {asked - 1} others" if asked > 1 else ""
        return NoNetworkError(f"peer {peer} cannot be asked: {error}{others}")
    silent = f", {len(dead)} of them without an answer" if dead else ""
    count = "1 peer" if asked == 1 else f"{asked} peers"
    return NotFoundError(f"{what}: nobody has it ({count} asked{silent})")
