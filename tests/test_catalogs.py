import contextlib
import gc
import math
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest
from evil import busy, mute
from fake import Behaviour, Fake, Line, Proxy
from honest import NEVER, SOON, Honest, dialer, hello, some_bytes

from pirate import __version__, catalogs
from pirate.catalogs import Catalogs, Listing
from pirate.deadline import Deadline
from pirate.errors import PeerError, ProtocolError, RefusedError, StalledError, UnaskedError
from pirate.model import Address, Announcement, Digest, Entry, Peer
from pirate.net.dial import Dialer
from pirate.scope import Scope, Stop
from pirate.wire import messages

TTL = 60.0


class Cache:
    """Catalogs with a clock of the test's, and a count of what the peer has sent for them."""

    def __init__(self, dial: Dialer, room: float = math.inf) -> None:
        self.now = 0.0
        self.catalogs = Catalogs(dial, ttl=TTL, room=room, clock=lambda: self.now)

    def of(self, peer: Peer) -> Listing:
        return self.catalogs.of(peer, NEVER, Stop())


@pytest.fixture(name="cache")
def _cache() -> Iterator[Cache]:
    with contextlib.closing(dialer(stall=2.0)) as dial:
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


Page = tuple[int, int, int, tuple[int, ...]]


def listing(*pages: Page, asked: list[messages.List] | None = None) -> Behaviour:
    """A peer that answers LIST with these: revision, since, files, and first bytes of digests.

    A negative one says that the file is gone.
    """
    left = list(pages)

    def behave(line: Line) -> None:
        line.introduce()
        while True:
            header, body = line.frame()
            if asked is not None:
                asked.append(messages.List.decode(body))
            revision, since, files, firsts = left.pop(0)
            entries = tuple(
                Entry(Digest(bytes([abs(n)] * 20)), int(n > 0), ("x",) if n > 0 else ())
                for n in firsts
            )
            line.send(
                messages.Entries(revision, since, files, files, entries).frame(header.request)
            )

    return behave


def firsts(listing: Listing) -> list[int]:
    return [digest[0] for digest in digests(listing)]


def test_a_catalog_that_changes_while_it_is_paged_is_out_of_date_at_once(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 2)
    pages = listing((7, 0, 4, (1, 2)), (8, 0, 5, (3, 4)), (8, 0, 5, (5,)), (8, 0, 1, (9,)))
    with Fake(pages, name="x") as fake:
        mixture = cache.of(announced(fake.peer, 7, "x"))
        assert mixture.catalog.revision == 7
        assert firsts(mixture) == [1, 2, 3, 4, 5]
        assert firsts(cache.of(announced(fake.peer, 8, "x"))) == [9]


def test_a_catalog_that_shrinks_while_it_is_paged_ends(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 2)
    with Fake(listing((7, 0, 9, (1, 2)), (8, 0, 9, ())), name="x") as fake:
        assert len(cache.of(fake.peer).catalog) == 2


def test_a_catalog_without_end_is_cut_off(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 1)
    monkeypatch.setattr(catalogs, "MOST_ENTRIES", 3)
    endless = listing(*((1, 0, 2**60, (number,)) for number in range(1, 100)))
    with Fake(endless, name="x") as fake:
        assert len(cache.of(fake.peer).catalog) == 3


# Changes.


def test_one_change_among_many_files_costs_its_own_size(
    cache: Cache, honest: Honest, proxy: tuple[Peer, Proxy]
) -> None:
    peer, count = proxy
    for number in range(300):
        (honest.folder / f"{number}").write_bytes(some_bytes(10, number))
    honest.scan()
    cache.of(peer)
    for change in (
        lambda: honest.put("300", b"new"),
        lambda: honest.put("300", b"other"),
        (honest.folder / "7").unlink,
        lambda: (honest.folder / "8").rename(honest.folder / "renamed"),
    ):
        change()
        honest.scan()
        sent = count.sent
        cache.now += TTL + 1
        assert cache.of(peer).catalog == honest.library.catalog
        assert count.sent - sent < 250


def test_many_changes_come_in_pages(
    cache: Cache, honest: Honest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 3)
    for number in range(20):
        (honest.folder / f"{number}").write_bytes(some_bytes(10, number))
    honest.scan()
    cache.of(honest.peer)
    for number in range(10):
        (honest.folder / f"{number}").unlink()
        (honest.folder / f"{number + 50}").write_bytes(some_bytes(10, number + 50))
    honest.scan()
    cache.now += TTL + 1
    assert cache.of(honest.peer).catalog == honest.library.catalog


def test_a_catalog_that_changed_while_it_was_paged_is_made_right_by_what_changed_since(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that went, and one that came, both on the page that was here already."""
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 2)
    asked: list[messages.List] = []
    pages = (
        (7, 0, 4, (1, 3)),
        (8, 0, 4, (5, 6)),
        (9, 7, 5, (-1, 2)),
        (9, 7, 5, (4,)),
        (9, 7, 5, ()),
    )
    with Fake(listing(*pages, asked=asked), name="x") as fake:
        cache.of(announced(fake.peer, 7, "x"))
        listed = cache.of(announced(fake.peer, 9, "x"))
    assert (firsts(listed), listed.catalog.revision) == ([2, 3, 4, 5, 6], 9)
    assert [(each.known, each.after[0]) for each in asked] == [
        (0, 0),
        (0, 3),
        (7, 0),
        (7, 2),
        (7, 4),
    ]


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param(((8, 0, 2, (2, 3)),), id="all of them"),
        pytest.param(((8, 7, 2, (-1,)), (9, 0, 2, (3,)), (9, 0, 2, (2, 3))), id="half of them"),
    ],
)
def test_a_peer_that_has_forgotten_a_revision_is_asked_for_everything(
    cache: Cache, pages: tuple[Page, ...]
) -> None:
    with Fake(listing((7, 0, 1, (1,)), *pages), name="x") as fake:
        cache.of(announced(fake.peer, 7, "x"))
        assert firsts(cache.of(announced(fake.peer, 8, "x"))) == [2, 3]


def test_changes_without_end_make_no_catalog_without_end(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "PAGE_ENTRIES", 1)
    monkeypatch.setattr(catalogs, "MOST_ENTRIES", 3)
    whole = ((9, 0, 2**60, (number,)) for number in range(1, 9))
    more = ((8, 7, 2**60, (number,)) for number in (4, 5, 6))
    with Fake(listing((7, 0, 1, (1,)), *more, *whole), name="x") as fake:
        cache.of(announced(fake.peer, 7, "x"))
        assert firsts(cache.of(announced(fake.peer, 8, "x"))) == [1, 2, 3]


@pytest.mark.parametrize("page", [(8, 6, 1, (1,)), (8, 0, 1, (-1,)), (8, 7, 1, (2, 1))])
def test_changes_that_are_none_are_refused(cache: Cache, page: Page) -> None:
    with Fake(listing((7, 0, 1, (1,)), page), name="x") as fake:
        cache.of(announced(fake.peer, 7, "x"))
        with pytest.raises(ProtocolError):
            cache.of(announced(fake.peer, 8, "x"))


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
            cache.catalogs.of_all([silent.peer, gone, honest.peer], Deadline(SOON), Stop())
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


def shared(name: str, files: int) -> Behaviour:
    """A peer with so many files, each 32 bytes on the wire."""
    entries = tuple(Entry(Digest(number.to_bytes(20)), 1, ("",)) for number in range(1, files + 1))
    page = messages.Entries(9, 0, files, files, entries)

    def behave(line: Line) -> None:
        line.introduce()
        while True:
            line.send(page.frame(line.frame()[0].request))

    behave.__name__ = name
    return behave


def test_where_the_room_is_full_who_is_in_it_stays_and_others_are_not_asked() -> None:
    with contextlib.ExitStack() as stack:
        cache = Cache(stack.enter_context(contextlib.closing(dialer())), room=100_000)
        fakes = [stack.enter_context(Fake(shared(f"n{number}", 400))) for number in range(6)]
        kept = [cache.of(fake.peer) for fake in fakes[:4]]
        for fake in fakes[4:]:
            with pytest.raises(UnaskedError):
                cache.of(fake.peer)
        assert [cache.of(fake.peer) for fake in fakes[:4]] == kept
        assert [cache.catalogs.fresh(fake.peer) for fake in fakes] == [*kept, None, None]
        cache.now = 11 * TTL
        assert [cache.of(fake.peer).confirmed for fake in fakes[4:]] == [cache.now] * 2


def test_nobody_takes_more_than_a_part_of_the_room() -> None:
    with (
        contextlib.closing(dialer()) as dial,
        Fake(shared("large", 1000)) as large,
        Fake(shared("small", 100)) as small,
    ):
        cache = Cache(dial, room=100_000)
        with pytest.raises(UnaskedError):
            cache.of(large.peer)
        assert len(cache.of(small.peer).catalog) == 100


def test_what_came_and_failed_leaves_its_room_to_others() -> None:
    def dies(line: Line) -> None:
        line.introduce()
        header, _ = line.frame()
        page = messages.Entries(9, 0, 2, 2, (Entry(Digest(b"a" * 20), 1, ("x" * 1000,)),))
        line.send(page.frame(header.request, end=False))

    with contextlib.closing(dialer()) as dial, Fake(dies) as bad, Fake(shared("n", 100)) as good:
        cache = Cache(dial, room=40_000)
        for _ in range(20):
            with pytest.raises(PeerError):
                cache.of(bad.peer)
        assert len(cache.of(good.peer).catalog) == 100


def test_only_what_is_fresh_is_known_without_a_question(cache: Cache, honest: Honest) -> None:
    assert cache.catalogs.fresh(honest.peer) is None
    listing = cache.of(honest.peer)
    assert cache.catalogs.fresh(honest.peer) is listing
    cache.now += TTL + 1
    assert cache.catalogs.fresh(honest.peer) is None


def test_what_is_too_old_to_be_of_use_is_let_go(cache: Cache, honest: Honest) -> None:
    catalog = weakref.ref(cache.of(honest.peer).catalog)
    cache.now += TTL + 1
    cache.catalogs.tidy()
    assert catalog() is not None
    cache.now += 10 * TTL
    cache.catalogs.tidy()
    gc.collect()
    assert catalog() is None
