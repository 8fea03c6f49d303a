import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from evil import busy, mute
from fake import Behaviour, Fake, Line, Proxy
from honest import NEVER, SOON, Honest, dialer, hello, some_bytes

from pirate import __version__, catalogs
from pirate.catalogs import Catalogs, Listing
from pirate.deadline import Deadline
from pirate.errors import PeerError, RefusedError, StalledError
from pirate.model import Address, Announcement, Digest, Entry, Peer
from pirate.net.dial import Dialer
from pirate.scope import Scope, Stop
from pirate.wire import messages

TTL = 60.0


class Cache:
    """Catalogs with a clock of the test's, and a count of what the peer has sent for them."""

    def __init__(self, dial: Dialer) -> None:
        self.now = 0.0
        self.catalogs = Catalogs(dial, ttl=TTL, clock=lambda: self.now)

    def of(self, peer: Peer, *, refresh: bool = False) -> Listing:
        return self.catalogs.of(peer, NEVER, Stop(), refresh=refresh)


@pytest.fixture(name="cache")
def _cache() -> Iterator[Cache]:
    with contextlib.closing(dialer(stall=0.5)) as dial:
        yield Cache(dial)


@pytest.fixture(name="proxy")
def _proxy(honest: Honest) -> Iterator[tuple[Peer, Proxy]]:
    """Give a way to the server that counts bytes."""
    proxy = Proxy(honest.address)
    with Fake(proxy, name="proxy") as fake:
        yield fake.peer, proxy


def announced(peer: Peer, revision: int, name: str = "honest") -> Peer:
    return Peer.announced(
        Announcement(hello(name).peer, name, peer.addresses, __version__, revision)
    )


def digests(listing: Listing) -> list[Digest]:
    return [entry.digest for entry in listing.catalog]


def test_a_catalog_is_what_the_peer_shares(cache: Cache, honest: Honest) -> None:
    expected = sorted(honest.put(f"{n}", some_bytes(10, n)) for n in range(5))
    listing = cache.of(honest.peer)
    assert digests(listing) == expected
    assert listing.catalog == honest.library.catalog
    assert (listing.peer.name, listing.peer.addresses) == ("honest", (honest.address,))


def test_a_fresh_catalog_costs_nothing(
    cache: Cache, honest: Honest, proxy: tuple[Peer, Proxy]
) -> None:
    peer, count = proxy
    honest.put("file", b"1")
    first = cache.of(peer)
    sent = count.sent
    cache.now += TTL - 1
    honest.put("other", b"2")
    assert cache.of(peer) is first
    assert count.sent == sent


def test_a_catalog_that_has_not_changed_costs_one_small_frame(
    cache: Cache, honest: Honest, proxy: tuple[Peer, Proxy]
) -> None:
    peer, count = proxy
    for number in range(200):
        (honest.folder / f"{number}").write_bytes(some_bytes(10, number))
    honest.scan()
    first = cache.of(peer)
    whole = count.sent
    for _ in range(3):
        cache.now += TTL + 1
        sent = count.sent
        again = cache.of(peer)
        assert again.catalog is first.catalog
        assert again.confirmed == cache.now
        assert count.sent - sent < 50
    assert whole > 200 * 30


def test_a_catalog_that_has_changed_is_sent_when_it_is_no_longer_fresh(
    cache: Cache, honest: Honest
) -> None:
    honest.put("a", b"1")
    assert len(cache.of(honest.peer).catalog) == 1
    honest.put("b", b"2")
    cache.now += TTL + 1
    assert len(cache.of(honest.peer).catalog) == 2


def test_another_announced_revision_is_asked_for_at_once(
    cache: Cache, honest: Honest, proxy: tuple[Peer, Proxy]
) -> None:
    peer, count = proxy
    honest.put("a", b"1")
    assert len(cache.of(announced(peer, honest.library.catalog.revision)).catalog) == 1
    honest.put("b", b"2")
    now = announced(peer, honest.library.catalog.revision)
    assert len(cache.of(now).catalog) == 2
    sent = count.sent
    assert len(cache.of(now).catalog) == 2
    assert count.sent == sent


def test_a_refresh_has_all_of_it_sent_again(
    cache: Cache, honest: Honest, proxy: tuple[Peer, Proxy]
) -> None:
    peer, count = proxy
    honest.put("a", b"1")
    cache.of(peer)
    sent = count.sent
    assert len(cache.of(peer, refresh=True).catalog) == 1
    assert count.sent - sent > 50


def test_a_catalog_of_many_pages_comes_whole(
    cache: Cache, honest: Honest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 3)
    for number in range(10):
        honest.put(f"{number}", some_bytes(10, number))
    assert cache.of(honest.peer).catalog == honest.library.catalog


@pytest.mark.parametrize("entries", [0, 3, 6])
def test_a_catalog_that_ends_with_a_page_comes_whole(
    cache: Cache, honest: Honest, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 3)
    for number in range(entries):
        honest.put(f"{number}", some_bytes(10, number))
    assert cache.of(honest.peer).catalog == honest.library.catalog


def listing(*pages: tuple[int, int, tuple[int, ...]]) -> Behaviour:
    """A peer that answers LIST with these: revision, files, and first bytes of digests."""
    left = list(pages)

    def behave(line: Line) -> None:
        line.introduce()
        while True:
            header, _ = line.frame()
            revision, files, firsts = left.pop(0)
            entries = tuple(Entry(Digest(bytes([n] * 20)), 1, ("x",)) for n in firsts)
            line.send(messages.Entries(revision, files, files, entries).frame(header.request))

    return behave


def test_a_catalog_that_changes_while_it_is_paged_is_out_of_date_at_once(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 2)
    pages = listing((7, 4, (1, 2)), (8, 5, (3, 4)), (8, 5, (5,)), (8, 1, (9,)))
    with Fake(pages, name="x") as fake:
        mixture = cache.of(announced(fake.peer, 7, "x"))
        assert mixture.catalog.revision == 7
        assert [digest[0] for digest in digests(mixture)] == [1, 2, 3, 4, 5]
        assert [digest[0] for digest in digests(cache.of(announced(fake.peer, 8, "x")))] == [9]


def test_a_catalog_that_shrinks_while_it_is_paged_ends(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 2)
    with Fake(listing((7, 9, (1, 2)), (8, 9, ())), name="x") as fake:
        assert len(cache.of(fake.peer).catalog) == 2


def test_a_catalog_without_end_is_cut_off(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 1)
    monkeypatch.setattr(catalogs, "MOST_ENTRIES", 3)
    endless = listing(*((1, 2**60, (number,)) for number in range(1, 100)))
    with Fake(endless, name="x") as fake:
        assert len(cache.of(fake.peer).catalog) == 3


def test_many_who_ask_at_once_cost_one_question(cache: Cache, honest: Honest) -> None:
    honest.put("file", b"1")
    go_on, asked = threading.Event(), threading.Event()
    through = Proxy(honest.address)

    def slow(line: Line) -> None:
        asked.set()
        assert go_on.wait(SOON)
        through(line)

    with Fake(slow, name="slow") as fake:
        found: list[Listing] = []
        with Scope() as scope:
            for number in range(8):
                scope.spawn(f"ask {number}", lambda: found.append(cache.of(fake.peer)))
            assert asked.wait(SOON)
            go_on.set()
        assert len(found) == 8
        assert fake.accepted == 1
    assert len({id(each.catalog) for each in found}) == 1


def test_a_failure_is_not_remembered(cache: Cache, honest: Honest) -> None:
    through = Proxy(honest.address)

    def full_at_first(line: Line) -> None:
        (busy if fake.accepted == 1 else through)(line)

    with Fake(full_at_first) as fake:
        with pytest.raises(RefusedError, match="busy"):
            cache.of(fake.peer)
        assert cache.of(fake.peer).catalog == honest.library.catalog


def test_everybody_is_asked_at_once_and_silence_costs_nobody_else(
    cache: Cache, honest: Honest
) -> None:
    gone = Peer((Address("127.0.0.1", 1),))
    with Fake(mute) as silent:
        answers = dict(
            cache.catalogs.of_all(
                [silent.peer, gone, honest.peer], Deadline(SOON), Stop(), refresh=True
            )
        )
    assert isinstance(answers[silent.peer], StalledError)
    assert isinstance(answers[gone], PeerError)
    found = answers[honest.peer]
    assert isinstance(found, Listing)
    assert found.catalog == honest.library.catalog


def test_the_peer_is_given_as_it_introduced_itself(cache: Cache, honest: Honest) -> None:
    nameless = replace(honest.peer, name="")
    met = cache.of(nameless).peer
    assert (met.name, met.id) == ("honest", hello("honest").peer)
