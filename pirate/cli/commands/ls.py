"""``pirate ls``: the files of the whole network, merged by digest."""

import fnmatch
from argparse import Namespace
from contextlib import closing
from dataclasses import dataclass, field

from pirate.catalogs import Catalogs, Listing
from pirate.cli import text
from pirate.cli.output import Output
from pirate.cli.progress import label
from pirate.cli.sums import sum_line
from pirate.cli.tables import print_table
from pirate.config import Settings, remote
from pirate.errors import NoNetworkError, NotFoundError, PeerError
from pirate.model import Address, Digest, Peer, PeerId
from pirate.network import Network
from pirate.scope import Stop

ASK_SECONDS = 30.0


@dataclass(slots=True)
class Merged:
    """One digest over all peers: the names and the holders it has anywhere."""

    digest: Digest
    size: int
    names: set[str] = field(default_factory=set)
    holders: dict[PeerId | Address, Peer] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name to show where there is room for one."""
        return min(self.names)


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """List, merge, filter, print. Fails only if not one peer could be asked."""
    with Network(settings, _only(arguments.on), refresh=arguments.refresh) as network:
        peers = _chosen(network.everybody(), arguments.on)
        catalogs = Catalogs(network.dialer)
        listings: list[Listing] = []
        failed: list[tuple[Peer, PeerError]] = []
        asked = catalogs.of_all(
            peers, network.deadline, Stop(), refresh=arguments.refresh, each=ASK_SECONDS
        )
        with closing(asked) as answers:
            for peer, answer in answers:
                if isinstance(answer, PeerError):
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
    files = [merged for merged in _merge(listings) if _matches(merged, arguments.pattern)]
    _report(files, arguments, output, (len(peers), failed, stale))
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


def _merge(listings: list[Listing]) -> list[Merged]:
    """Every digest once, by name. A size is a claim: the greatest is shown."""
    found: dict[Digest, Merged] = {}
    for peer, catalog, _ in listings:
        for entry in catalog:
            merged = found.get(entry.digest)
            if merged is None:
                merged = found[entry.digest] = Merged(entry.digest, entry.size)
            merged.size = max(merged.size, entry.size)
            merged.names.update(entry.names)
            merged.holders[peer.key] = peer
    return sorted(found.values(), key=lambda merged: (merged.name, merged.digest))


def _matches(merged: Merged, pattern: str | None) -> bool:
    """Whether one of its names, or the last part of one, fits the glob, or contains it."""
    if pattern is None:
        return True
    if not any(character in pattern for character in "*?["):
        return any(pattern in name for name in merged.names)
    return any(
        fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rpartition("/")[2], pattern)
        for name in merged.names
    )


def _report(
    files: list[Merged],
    arguments: Namespace,
    output: Output,
    asked: tuple[int, list[tuple[Peer, PeerError]], bool],
) -> None:
    count, failed, stale = asked
    if output.json:
        output.result(
            stale=stale,
            peers_asked=count,
            peers_failed=[{"peer": label(peer), "code": error.code} for peer, error in failed],
            files=[_row(merged, long=arguments.long) for merged in files],
        )
    elif arguments.sums:
        _sums(files, output)
    elif files:
        _table(files, output, long=arguments.long)
    else:
        output.note("no files")


def _row(merged: Merged, *, long: bool) -> dict[str, object]:
    row: dict[str, object] = {
        "sha1": str(merged.digest),
        "size": merged.size,
        "names": sorted(merged.names),
        "holders": len(merged.holders),
    }
    if long:
        row["peers"] = sorted(map(label, merged.holders.values()))
    return row


def _sums(files: list[Merged], output: Output) -> None:
    """Every name of every digest, so that a folder can be rebuilt from the list."""
    shown = text.harmless if output.stdout.isatty() else str
    for merged in files:
        for name in sorted(merged.names):
            output.line(shown(sum_line(merged.digest, name)))


def _table(files: list[Merged], output: Output, *, long: bool) -> None:
    rows = []
    for merged in files:
        names = sorted(merged.names)
        size = f"{merged.size:,}" if long else text.size(merged.size)
        holders = str(len(merged.holders))
        more = f" (+{len(names) - 1})" if len(names) > 1 and not long else ""
        rows.append((str(merged.digest), size, holders, names[0] + more))
        if long:
            rows.extend(("", "", "", name) for name in names[1:])
            rows.extend(
                ("", "", "", f"on {peer}") for peer in sorted(map(str, merged.holders.values()))
            )
    head = ("SHA-1", "BYTES" if long else "SIZE", "HOLDERS", "NAME")
    print_table(
        head, rows, output.stdout, right=frozenset({1, 2}), rich=output.colored(output.stdout)
    )
