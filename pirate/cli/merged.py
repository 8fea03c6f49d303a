"""The files of several peers as one list, each digest once, made while it is gone through."""

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pirate.catalogs import Listing
from pirate.model import Peer
from pirate.wire.entries import Run
from pirate.wire.pattern import narrowed

_Claim = tuple[bytes, int, list[str], int]


class Merged(NamedTuple):
    """One digest over all peers: the names and the holders it has anywhere.

    A size is a claim: the greatest is shown.
    """

    digest: bytes
    size: int
    names: Sequence[str]
    holders: Sequence[Peer]


def merge(listings: Sequence[Listing], pattern: str = "") -> Iterator[Merged]:
    """Every digest of the listings, ascending, that matches by a name at any of them."""
    peers = [(listing.peer,) for listing in listings]
    shelves = narrowed([listing.catalog for listing in listings], pattern)
    claims = heapq.merge(*(_claims(runs, number) for number, runs in enumerate(shelves)))
    several: list[_Claim] = []
    for claim in claims:
        if several and claim[0] != several[0][0]:
            yield _one(several, peers)
            several = [claim]
        else:
            several.append(claim)
    if several:
        yield _one(several, peers)


def _claims(runs: Sequence[Run], number: int) -> Iterator[_Claim]:
    for run in runs:
        for digest, size, names in run.raw():
            yield digest, size, names, number


def _one(claims: list[_Claim], peers: Sequence[tuple[Peer]]) -> Merged:
    digest, size, names, number = claims[-1]  # the greatest
    if len(claims) == 1:
        return Merged(digest, size, sorted(names) if len(names) > 1 else names, peers[number])
    return Merged(
        digest,
        size,
        sorted({name for _, _, some, _ in claims for name in some}),
        list({peer.key: peer for *_, each in claims for peer in peers[each]}.values()),
    )
