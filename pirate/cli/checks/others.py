"""Whether we reach the others, and they us."""

import ipaddress
from contextlib import closing, suppress
from typing import NamedTuple

from pirate.acquaintances import Home
from pirate.cli.checks.finding import Finding, problem, warning
from pirate.cli.text import counted
from pirate.config import Settings
from pirate.deadline import Deadline
from pirate.disk.identity import running
from pirate.disk.state import State
from pirate.errors import BindError, NoNetworkError, PeerError, PirateError
from pirate.model import Address, Announcement, Peer
from pirate.net.interfaces import Interfaces, Whereabouts
from pirate.net.listening import listening
from pirate.net.survey import survey
from pirate.network import Network
from pirate.scope import Stop

ASK_SECONDS = 5.0


class Met(NamedTuple):
    """A peer that answered, and the host that it sees us at."""

    peer: Peer
    seen: str


class Others:
    """The peers that can be found from here, each asked once."""

    def __init__(self, network: Network) -> None:
        self.met: list[Met] = []
        self.missed: list[tuple[Peer, PeerError]] = []
        self.problem: PirateError | None = None
        try:
            peers = network.everybody()
        except NoNetworkError as error:
            self.problem = error
            return

        def greet(peer: Peer, deadline: Deadline, stop: Stop) -> Met:
            with network.dialer.talk(peer, deadline, stop) as conversation:
                met = peer.met(conversation.peer.peer, conversation.peer.name)
                return Met(met, _host(conversation.seen))

        answers = survey(peers, greet, network.deadline, Stop(), each=ASK_SECONDS)
        with closing(answers):
            for peer, answer in answers:
                if isinstance(answer, PeerError):
                    self.missed.append((peer, answer))
                else:
                    self.met.append(answer)

    @property
    def announcements(self) -> list[Announcement]:
        """What those say of themselves that have an announcement."""
        return [met.peer.announcement for met in self.met if met.peer.announcement]

    def findings(self) -> list[Finding]:
        """Who answers, and who does not."""
        if self.problem:
            do = "Name a peer with --peer, or an etcd with --etcd"
            return [problem("peers", str(self.problem), do, NoNetworkError)]
        found = f"{counted(len(self.met), 'peer')} found, and all of them answer"
        if not self.missed:
            if not self.met:
                do = "Start `pirate serve` on another machine, or name one with --peer"
                return [warning("peers", "nobody else is found", do)]
            return [Finding("peers", found)]
        names = ", ".join(f"{peer}: {error}" for peer, error in self.missed[:3])
        others = f" and {len(self.missed) - 3} others" if len(self.missed) > 3 else ""
        found = f"{len(self.missed)} of {len(self.met) + len(self.missed)} do not answer: {names}"
        do = "See whether they run, and what a firewall there lets through"
        if self.met:
            return [warning("peers", found + others, do)]
        return [problem("peers", found + others, do, NoNetworkError)]


def addresses(settings: Settings, others: Others) -> list[Finding]:
    """Where `serve` would be found, and whether others see us there."""
    ours = Whereabouts(settings.listen, settings.advertise).addresses
    shown = ", ".join(map(str, ours))
    if all(address.host in ("127.0.0.1", "::1") for address in ours):
        do = "Connect this machine to a network; only its own processes reach it now"
        return [warning("address", f"serve would announce {shown}", do)]
    own = {str(interface.ip.ip) for interface in Interfaces().now}
    known = own | {address.host for address in ours}
    odd = [met for met in others.met if met.seen and met.seen not in known]
    if odd:
        found = f"{odd[0].peer} sees us at {odd[0].seen}, serve would announce {shown}"
        do = f"Let connections to {odd[0].seen} through to us and use --advertise {odd[0].seen}"
        return [warning("address", found, do)]
    return [Finding("address", f"serve would announce {shown}")]


def _host(seen: str) -> str:
    """The host in what a peer says it sees us at; empty if that is no numeric address."""
    try:
        return str(ipaddress.ip_address(Address.parse(seen).host))
    except ValueError:
        return ""


def port(settings: Settings) -> Finding:
    """Whether `serve` could listen where it would."""
    try:
        listening(settings.listen).close()
    except BindError as error:
        return problem("port", str(error), "Choose another one with --listen", BindError)
    return Finding("port", f"serve can listen on {settings.listen}")


def at_home(network: Network, settings: Settings) -> list[Finding]:
    """Whether each serve of this machine can be reached from here at what it announces."""
    home = Home(network.dialer, running(State(settings.state)))
    served = home.themselves(Deadline(ASK_SECONDS))
    return [finding for peer in served for finding in _reached(network, peer)]


def _reached(network: Network, served: Peer) -> list[Finding]:
    findings = []
    for address in served.addresses:
        only = Peer((address,), served.id, served.name)
        with suppress(PeerError), network.dialer.talk(only, Deadline(ASK_SECONDS), Stop()):
            findings.append(Finding("serve", f"{served.name} answers at {address}"))
            continue
        do = "See what a firewall lets through, or announce another one with --advertise"
        findings.append(warning("serve", f"{served.name} does not answer at {address}", do))
    if findings and all(finding.error or finding.do for finding in findings):
        found = f"{served.name} runs here and answers at none of its addresses"
        return [problem("serve", found, findings[0].do, NoNetworkError)]
    return findings
