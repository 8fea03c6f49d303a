"""Whether the places work where peers find each other: etcd, and multicast on the LAN."""

import secrets
import time
from contextlib import closing
from dataclasses import replace

from pirate.cli.checks.finding import Finding, problem, warning
from pirate.cli.text import counted
from pirate.config import Settings
from pirate.deadline import Deadline
from pirate.discovery import open_etcd, uses_etcd
from pirate.errors import NoNetworkError, PirateError, RegistryError
from pirate.model import Address, Announcement, PeerId
from pirate.scope import Stop

ETCD_SECONDS = 2.0
MDNS_SECONDS = 3.0
LOOK_SECONDS = 0.1


def etcd(settings: Settings) -> list[Finding]:
    """Each member by itself; one of them is enough."""
    if not uses_etcd(settings):
        return []
    answers = [(address, _ask_etcd(settings, address)) for address in settings.etcd]
    findings = []
    for address, answer in answers:
        if isinstance(answer, str):
            findings.append(Finding("etcd", f"{address} {answer}"))
        elif any(isinstance(each, str) for _, each in answers):
            do = "Look at this member; the others are enough meanwhile"
            findings.append(warning("etcd", f"{address}: {answer}", do))
        else:
            do = "Start it, or name one that runs with --etcd"
            kind = NoNetworkError if isinstance(answer, RegistryError) else type(answer)
            findings.append(problem("etcd", f"{address}: {answer}", answer.advice or do, kind))
    return findings


def _ask_etcd(settings: Settings, address: Address) -> str | PirateError:
    began = time.monotonic()
    try:
        with closing(open_etcd(replace(settings, etcd=(address,)))) as registry:
            peers = registry.peers(Deadline(ETCD_SECONDS))
    except PirateError as error:
        return error
    took = 1000 * (time.monotonic() - began)
    return f"answers in {took:.0f} ms and knows {counted(len(peers), 'peer')}"


def multicast(settings: Settings) -> list[Finding]:
    """Whether what one process of this machine says by mDNS, another one hears."""
    if settings.discovery not in ("auto", "mdns"):
        return []
    from pirate.registry.mdns import MdnsRegistry  # noqa: PLC0415

    # A name of its own, so that nobody takes the voice of this check for a peer.
    service = f"_pirate-{secrets.token_hex(2)}._tcp.local."
    ours = Announcement(
        PeerId(secrets.token_bytes(PeerId.SIZE)), "doctor", (Address("127.0.0.1", 9),), "0"
    )
    deadline = Deadline(MDNS_SECONDS)
    voice, ear = (
        MdnsRegistry(settings.ttl, interfaces=settings.interfaces, service=service)
        for _ in range(2)
    )
    try:
        with closing(voice), closing(ear):
            voice.announce(ours, deadline)
            while not any(peer.id == ours.id for peer in ear.peers(deadline)):
                if deadline.passed:
                    return [_unheard("nothing is heard of what is said", settings)]
                Stop().wait(LOOK_SECONDS)
            voice.withdraw(Deadline(1.0))
    except RegistryError as error:
        return [_unheard(str(error), settings)]
    return [Finding("mdns", "what one process of this machine multicasts, another one hears")]


def _unheard(found: str, settings: Settings) -> Finding:
    """It matters as much as there is no other way."""
    do = "Let UDP port 5353 through the firewall, or use --etcd or --peer"
    if settings.discovery == "auto" and (settings.etcd or settings.peers):
        return warning("mdns", found, do)
    return problem("mdns", found, do, NoNetworkError)
