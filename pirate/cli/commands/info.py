"""``pirate info``: one file's names, size and holders."""

from argparse import Namespace
from collections import Counter
from contextlib import closing

from pirate.cli import text
from pirate.cli.output import Output
from pirate.cli.progress import label
from pirate.config import Settings
from pirate.errors import PeerError
from pirate.fetch.swarm import Holder, complete, nobody, search
from pirate.model import Digest, Peer
from pirate.network import Network
from pirate.ref import parse_ref
from pirate.scope import Stop


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """Ask everybody for the file, and wait for all answers."""
    ref = parse_ref(arguments.ref)
    stop = Stop()
    with Network(settings, refresh=arguments.refresh) as network:
        peers = network.everybody()
        if not isinstance(ref, Digest):
            ref = complete(ref, peers, network.dialer, network.deadline, stop)
        holders: list[Holder] = []
        missed: list[tuple[Peer, PeerError]] = []
        with closing(search(ref, peers, network.dialer, network.deadline, stop)) as answers:
            for peer, answer in answers:
                if isinstance(answer, PeerError):
                    missed.append((peer, answer))
                else:
                    holders.append(answer)
    if not holders:
        raise nobody(str(ref), len(peers), missed)
    _report(ref, holders, output)
    return 0


def _report(digest: Digest, holders: list[Holder], output: Output) -> None:
    """A size is what a holder says; where they differ, what most of them say stands first."""
    holders.sort(key=lambda holder: label(holder.peer))
    sizes = Counter(holder.entry.size for holder in holders).most_common()
    names = sorted({name for holder in holders for name in holder.entry.names})
    output.result(
        sha1=str(digest),
        size=sizes[0][0],
        names=names,
        holders=[
            {
                "peer": label(holder.peer),
                "addr": str(holder.peer.addresses[0]),
                "size": holder.entry.size,
            }
            for holder in holders
        ],
    )
    output.line(f"sha1     {digest}")
    for size, count in sizes:
        doubt = f", say {text.counted(count, 'holder')}" if len(sizes) > 1 else ""
        output.line(f"size     {size:,} bytes ({text.size(size)}){doubt}")
    for name in names:
        output.line(f"name     {text.harmless(name)}")
    for holder in holders:
        output.line(f"holder   {text.harmless(str(holder.peer))}")
