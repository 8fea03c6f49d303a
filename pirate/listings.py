"""What everybody has that a pattern matches: the serve of this machine knows, or each is asked."""

import logging
from collections.abc import Generator, Mapping, Sequence

from pirate.catalogs import Catalogs, Listing
from pirate.errors import PeerError, ToldError, UnaskedError
from pirate.model import Peer, PeerId
from pirate.network import Network
from pirate.scope import Stop
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run

log = logging.getLogger(__name__)

ASK_SECONDS = 30.0

# Of the time that is left, what a serve of ours may spend asking others.
_PART = 0.8

_Told = dict[Peer, Listing | PeerError]


def everything(
    network: Network, peers: Sequence[Peer]
) -> Generator[tuple[Peer, Listing | PeerError], None, None]:
    """Every peer, asked for its whole catalog, or why there is none, as they come."""
    catalogs = Catalogs(network.dialer)
    return catalogs.of_all(peers, network.deadline, Stop(), each=ASK_SECONDS)


def matching(
    network: Network, peers: Sequence[Peer], pattern: str
) -> Generator[tuple[Peer, Listing | PeerError], None, None]:
    """Every peer with the files that match, maybe with more of them, or why there are none.

    What one peer calls so matches whatever another calls it. So only a serve of this machine
    that tells of everybody can tell what matches; else everything is wanted of all, and who is
    not told of by such a serve is asked.
    """
    for home in network.homes if pattern else ():
        told = _told(network, home, peers, pattern)
        listed = [what for what in told.values() if isinstance(what, Listing)]
        if len(listed) == len(peers) or (len(told) == len(peers) and len(network.homes) == 1):
            yield from told.items()
            return
    known: _Told = {}
    for home in network.homes:
        for peer, what in _told(network, home, peers, "").items():
            if not isinstance(known.get(peer), Listing):
                known[peer] = what
    yield from known.items()
    if rest := [peer for peer in peers if peer not in known]:
        yield from everything(network, rest)


def _told(network: Network, home: Peer, peers: Sequence[Peer], pattern: str) -> _Told:
    """What a serve of this machine tells of these peers; silence is no answer."""
    try:
        found = _found(network, home, pattern, {peer.id: peer for peer in peers if peer.id})
    except (PeerError, ValueError) as error:
        log.debug("%s does not tell what others have: %s", home, error)
        return {}
    unasked = UnaskedError.code
    return {
        peer: what
        for peer, what in found.items()
        if isinstance(what, Listing) or what.code != unasked
    }


def _found(network: Network, home: Peer, pattern: str, known: Mapping[PeerId, Peer]) -> _Told:
    """What one of them tells of the peers that are known."""
    deadline = network.deadline
    patience = min(ASK_SECONDS, _PART * deadline.left)
    told: _Told = {}
    runs: dict[Peer, list[Run]] = {}
    with network.dialer.talk(home, deadline, Stop()) as conversation:
        for answer in conversation.find(pattern, patience, deadline):
            peer = known.get(answer.peer)
            if peer and answer.code:
                told[peer] = ToldError(answer.code, answer.reason)
            elif peer:
                runs.setdefault(peer, []).append(Run.of(answer.entries))
    return told | {peer: Listing(peer, Catalog(runs=some), 0.0) for peer, some in runs.items()}
