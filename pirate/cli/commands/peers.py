"""``pirate peers``: who is out there, and who of them answers."""

import math
from argparse import Namespace
from contextlib import closing
from typing import Any, NamedTuple

from pirate.cli import text
from pirate.cli.output import Output
from pirate.cli.progress import label
from pirate.cli.tables import print_table
from pirate.config import Settings
from pirate.deadline import Deadline
from pirate.errors import NoNetworkError, PeerError
from pirate.model import Digest, Peer
from pirate.net.conversation import Page
from pirate.net.survey import survey
from pirate.network import Network
from pirate.scope import Stop

ASK_SECONDS = 5.0


class Probed(NamedTuple):
    """A peer that answered: as it introduced itself, its program's version, and its totals."""

    peer: Peer
    version: str
    page: Page


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """Ask each peer for the totals of its catalog, all at once."""
    with Network(settings, refresh=arguments.refresh) as network:

        def probe(peer: Peer, deadline: Deadline, stop: Stop) -> Probed:
            with network.dialer.talk(peer, deadline, stop) as conversation:
                page = conversation.list(0, Digest(bytes(Digest.SIZE)), 0, deadline)
                hello = conversation.peer
                return Probed(peer.met(hello.peer, hello.name), hello.version, page)

        peers = network.everybody()
        snapshot = network.snapshot
        answers = survey(peers, probe, network.deadline, Stop(), each=ASK_SECONDS)
        with closing(answers):
            found = [_row(peer, answer) for peer, answer in answers]
        named = all(peer.via == ("static",) for peer in peers)
        if found and named and not any(row["reachable"] for row in found):
            raise NoNetworkError(f"none of {text.counted(len(found), 'named peer')} answers")
        registry: dict[str, object] = {
            "kind": network.kind,
            "ok": snapshot.problem is None,
        }
        if math.isfinite(age := network.age):  # it is not if etcd has never answered
            registry["age_s"] = round(age, 3)
        if snapshot.stale and found:
            when = f" of {text.seconds(age)} ago" if math.isfinite(age) else ""
            output.note(f"{snapshot.problem}; these are the peers{when}")
    found.sort(key=lambda row: (row["name"], row["addr"]))
    output.result(stale=snapshot.stale, registry=registry, peers=found)
    if not output.json:
        _table(found, output)
    return 0


def _row(peer: Peer, answer: Probed | PeerError) -> dict[str, Any]:
    """A peer as JSON shows it; what an unreachable one has announced is stale."""
    if isinstance(answer, PeerError):
        row: dict[str, Any] = {
            "name": label(peer),
            "addr": str(peer.addresses[0]),
            "via": list(peer.via),
        }
        if announced := peer.announcement:
            row |= {"id": str(announced.id), "version": announced.version}
            row |= {"files": announced.files, "bytes": announced.size}
        return row | {"reachable": False, "stale": True, "code": answer.code}
    met, version, page = answer
    return {
        "id": str(met.id),
        "name": label(met),
        "addr": str(met.addresses[0]),
        "via": list(met.via),
        "version": version,
        "files": page.files,
        "bytes": page.size,
        "reachable": True,
        "stale": False,
    }


def _table(found: list[dict[str, Any]], output: Output) -> None:
    if not found:
        output.note("there are no peers yet")
        return
    rows = [
        (
            row["name"],
            row["addr"],
            f"{row['files']:,}" if "files" in row else "?",
            text.size(row["bytes"]) if "bytes" in row else "?",
            row.get("version", "?"),
            ", ".join(row["via"]),
            "ok" if row["reachable"] else row["code"],
        )
        for row in found
    ]
    head = ("NAME", "ADDRESS", "FILES", "SIZE", "VERSION", "FOUND BY", "STATE")
    print_table(
        head, rows, output.stdout, right=frozenset({2, 3}), rich=output.colored(output.stdout)
    )
