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

    Who is not told of by a serve of this machine, if one runs, is asked. Then everything is
    wanted of the others too: what one calls so matches whatever another calls it.
    """
    told = _told(network, peers, pattern)
    if pattern and 0 < len(told) < len(peers):
        told = _told(network, peers, "")
    yield from told.items()
    if rest := [peer for peer in peers if peer not in told]:
        yield from everything(network, rest)


def _told(network: Network, peers: Sequence[Peer], pattern: str) -> _Told:
    """What the serves of this machine tell of these peers; silence is no answer."""
    by_id = {peer.id: peer for peer in peers if peer.id}
    told: _Told = {}
    for home in network.homes:
        try:
            found = _found(network, home, pattern, by_id)
        except (PeerError, ValueError) as error:
            log.debug("%s does not tell what others have: %s", home, error)
            continue
        told |= {peer: what for peer, what in found.items() if _is_news(what, told.get(peer))}
    return told


def _is_news(what: Listing | PeerError, before: Listing | PeerError | None) -> bool:
    unasked = isinstance(what, PeerError) and what.code == UnaskedError.code
    return not unasked and not isinstance(before, Listing)


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
