"""``pirate ls``: the files of the whole network, merged by digest."""

from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, islice

from pirate.catalogs import Listing
from pirate.cli import text
from pirate.cli.merged import Merged, merge
from pirate.cli.output import Output
from pirate.cli.progress import label
from pirate.cli.sums import sum_line
from pirate.cli.tables import long_table, print_table
from pirate.config import Settings, remote
from pirate.errors import NoNetworkError, NotFoundError, PeerError
from pirate.listings import everything, matching
from pirate.model import Address, Digest, Peer
from pirate.network import Network

# More files than this are not sorted by name: that would have to wait for all of them, and to
# hold them all.
MOST_SORTED = 50_000

# Of the columns of a table that is too long to be measured.
_WIDTHS = (40, 8, 7)
_LONG_WIDTHS = (40, 17, 7)
_RIGHT = frozenset({1, 2})


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """List, merge, filter, print. Fails only if not one peer could be asked."""
    with Network(settings, _only(arguments.on), refresh=arguments.refresh) as network:
        peers = _chosen(network.everybody(), arguments.on)
        pattern = arguments.pattern or ""
        listings: list[Listing] = []
        failed: list[tuple[Peer, PeerError]] = []
        here = arguments.on is None and not arguments.refresh
        asked = matching(network, peers, pattern) if here else everything(network, peers)
        with closing(asked) as answers:
            for peer, answer in answers:
                if not isinstance(answer, Listing):
                    failed.append((peer, answer))
                elif arguments.on is None or _is(answer.peer, arguments.on):
                    listings.append(answer)
        stale = network.snapshot.stale
    for peer, error in failed:
        output.note(f"{peer} is not listed: {error}")
    if failed and len(failed) == len(peers):
        raise NoNetworkError(f"none of {text.counted(len(peers), 'peer')} could be asked")
    if arguments.on is not None and not listings:
        raise NotFoundError(f"no peer is called {arguments.on!r}")
    files = merge(listings, pattern)
    some = list(islice(files, MOST_SORTED + 1))
    if len(some) <= MOST_SORTED:
        some.sort(key=lambda merged: (merged.names[0], merged.digest))
    else:
        output.note(f"more than {MOST_SORTED:,} files, so they are by SHA-1 and not by name")
    _report(some, files, arguments, output, (len(peers), failed, stale))
    return 0


def _only(on: str | None) -> tuple[Address, ...]:
    """With ``--on HOST:PORT`` no registry is needed."""
    if on is None or ":" not in on:
        return ()
    try:
        return (remote(on),)
    except ValueError:
        return ()


def _chosen(peers: tuple[Peer, ...], on: str | None) -> tuple[Peer, ...]:
    """The peer of ``--on`` if it is known already, or all, to learn their names."""
    return tuple(peer for peer in peers if on and _is(peer, on)) or peers


def _is(peer: Peer, on: str) -> bool:
    return on in (peer.name, str(peer.id), *map(str, peer.addresses))


def _report(
    some: list[Merged],
    more: Iterator[Merged],
    arguments: Namespace,
    output: Output,
    asked: tuple[int, list[tuple[Peer, PeerError]], bool],
) -> None:
    count, failed, stale = asked
    if output.json:
        output.result_with(
            "files",
            (_row(merged, long=arguments.long) for merged in chain(some, more)),
            stale=stale,
            peers_asked=count,
            peers_failed=[{"peer": label(peer), "code": error.code} for peer, error in failed],
        )
    elif arguments.sums:
        _sums(chain(some, more), output)
    elif len(some) > MOST_SORTED:
        rows = _rows(chain(some, more), long=arguments.long)
        widths = _LONG_WIDTHS if arguments.long else _WIDTHS
        head = _head(long=arguments.long)
        output.lines(long_table(head, rows, right=_RIGHT, widths=widths))
    elif some:
        stdout = output.stdout
        rows = _rows(some, long=arguments.long)
        print_table(
            *(_head(long=arguments.long), list(rows), stdout),
            right=_RIGHT,
            rich=output.colored(stdout),
        )
    else:
        output.note("no files")


def _row(merged: Merged, *, long: bool) -> dict[str, object]:
    row: dict[str, object] = {
        "sha1": merged.digest.hex(),
        "size": merged.size,
        "names": list(merged.names),
        "holders": len(merged.holders),
    }
    if long:
        row["peers"] = sorted(map(label, merged.holders))
    return row


def _sums(files: Iterable[Merged], output: Output) -> None:
    """Every name of every digest, so that a folder can be rebuilt from the list."""
    shown = text.harmless if output.stdout.isatty() else str
    output.lines(
        shown(sum_line(Digest(merged.digest), name)) + "\n"
        for merged in files
        for name in merged.names
    )


def _head(*, long: bool) -> tuple[str, ...]:
    return ("SHA-1", "BYTES" if long else "SIZE", "HOLDERS", "NAME")


def _rows(files: Iterable[Merged], *, long: bool) -> Iterator[tuple[str, ...]]:
    for digest, count, names, holders in files:
        if long:
            yield digest.hex(), f"{count:,}", str(len(holders)), names[0]
            yield from (("", "", "", name) for name in names[1:])
            yield from (("", "", "", f"on {peer}") for peer in sorted(map(str, holders)))
        else:
            more = f" (+{len(names) - 1})" if len(names) > 1 else ""
            yield digest.hex(), text.size(count), str(len(holders)), names[0] + more
