"""``pirate doctor``: what is wrong with a set-up, and the one thing to do about each."""

import os
from argparse import Namespace
from collections.abc import Iterator

from pirate.cli.checks import machine, others, places
from pirate.cli.checks.finding import Finding, State
from pirate.cli.output import Output
from pirate.cli.text import harmless
from pirate.config import Settings, file_in_use
from pirate.network import Network

_MARKS = {State.OK: "ok", State.WARNING: "warning", State.PROBLEM: "PROBLEM"}


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """Check one thing after the other; the exit code is that of the first problem."""
    findings = []
    for finding in _look(arguments, settings):
        findings.append(finding)
        _show(finding, output)
    checks = [_row(finding) for finding in findings]
    for finding in findings:
        if finding.error:
            error = finding.error(f"{finding.check}: {finding.found}")
            output.failure(error, checks=checks)
            return error.exit_code
    output.result(checks=checks)
    return 0


def _look(arguments: Namespace, settings: Settings) -> Iterator[Finding]:
    yield _settings(arguments, settings)
    yield from places.etcd(settings)
    yield from places.multicast(settings)
    with Network(settings) as network:
        met = others.Others(network)
        yield from met.findings()
        yield from others.addresses(settings, met)
        served = others.at_home(network, settings)
        yield from served or [others.port(settings)]
        yield machine.clock(met.announcements)
    yield machine.folder("folder", os.getcwd())  # noqa: PTH109
    yield machine.descriptors()
    yield machine.hashing()


def _settings(arguments: Namespace, settings: Settings) -> Finding:
    """What decides where peers are looked for, and the file that it comes from, if any."""
    said = [f"discovery {settings.discovery}"]
    for name, addresses in (("etcd", settings.etcd), ("peers", settings.peers)):
        if addresses:
            said.append(f"{name} {', '.join(map(str, addresses))}")
    used = file_in_use(arguments.config, os.environ)
    return Finding("settings", f"{'; '.join(said)}; {used or 'no configuration file'}")


def _show(finding: Finding, output: Output) -> None:
    output.line(harmless(f"{_MARKS[finding.state]:<8} {finding.check:<12} {finding.found}"))
    if finding.do:
        output.line(harmless(f"{'':<21} {finding.do}."))


def _row(finding: Finding) -> dict[str, str]:
    row = {"check": finding.check, "state": finding.state.value, "found": finding.found}
    return row | ({"advice": finding.do} if finding.do else {})
