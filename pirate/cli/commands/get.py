"""``pirate get``: download, verify, and say where the files are."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pirate.byterange import WHOLE, ByteRange
from pirate.cli.output import Output
from pirate.cli.progress import label
from pirate.cli.sums import read_sums
from pirate.cli.text import counted, harmless, rate, seconds, size
from pirate.cli.watching import observer
from pirate.config import LEAST_RATE, Settings, duration, holders, parsed, remote
from pirate.disk.names import SafePath, safe_path
from pirate.errors import LocalIOError, PartialError, PirateError, UsageError
from pirate.fetch.get import Getter
from pirate.fetch.swarm import complete
from pirate.fetch.target import IfExists, Target, Verdict
from pirate.fetch.terms import Observer, Received, Terms
from pirate.model import Digest
from pirate.network import Network
from pirate.ref import Prefix, parse_ref
from pirate.scope import Stop
from pirate.throttle import Throttle


class Want(NamedTuple):
    """One file to get: what the user called it, and its name below the folder, if given."""

    ref: Digest | Prefix
    text: str
    path: SafePath | None


@dataclass(frozen=True, slots=True)
class Getting:
    """What all files of one command line share."""

    arguments: Namespace
    settings: Settings
    output: Output
    network: Network
    if_exists: IfExists
    wait: float
    holders: int
    throttle: Throttle | None
    asked: ByteRange

    def terms(self, watcher: Observer, stop: Stop) -> Terms:
        """The terms of one download."""
        network = self.network
        return Terms(network.dialer, watcher, network.deadline, stop, self.holders, self.throttle)


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """Get every file that can be had; raises what ended the only one, or tells of each."""
    wants = _wants(arguments)
    only = tuple(parsed(remote, text, "--from") for text in arguments.only or ())
    with Network(settings, only) as network:
        getting = Getting(
            arguments,
            settings,
            output,
            network,
            _if_exists(arguments.if_exists),
            parsed(duration, arguments.wait or "0", "--wait"),
            *_limits(arguments, settings),
            _asked(arguments),
        )
        if arguments.output == "-":
            return _to_stdout(wants[0], getting)
        if len(wants) == 1 and not arguments.list:
            _get(wants[0], getting)
            return 0
        return _get_all(wants, getting)


def _limits(arguments: Namespace, settings: Settings) -> tuple[int, Throttle | None]:
    """How many holders at once, and how fast from all of them.

    A low limit is shared by few: what is too little for one of them is a stall.
    """
    count = parsed(holders, arguments.holders, "-s")
    if settings.limit_down is None:
        return count, None
    return min(count, settings.limit_down // LEAST_RATE), Throttle(settings.limit_down)


def _wants(arguments: Namespace) -> list[Want]:
    """What the command line and its list ask for, or what is wrong with it."""
    wants = [Want(parse_ref(text), text, None) for text in arguments.refs]
    if arguments.list:
        wants += [Want(digest, str(digest), safe_path(name)) for digest, name in _listed(arguments)]
    elif not wants:
        raise UsageError("name a file by its SHA-1, or a list of them with -i")
    if arguments.output is not None:
        if len(wants) != 1:
            rather = "" if arguments.range else "; use -d for several"
            raise UsageError(f"-o takes exactly one REF{rather}")
        if arguments.output == "-" and arguments.json:
            raise UsageError("-o - and --json both want stdout")
        if _is_folder(arguments.output):
            raise UsageError(f"-o {arguments.output!r} is no file name; use -d for folders")
    return wants


def _asked(arguments: Namespace) -> ByteRange:
    if arguments.range is None:
        return WHOLE
    if arguments.output is None:
        raise UsageError("--range needs -o: a part must not get the name of the whole file")
    return parsed(ByteRange.parse, arguments.range, "--range")


def _is_folder(path: str) -> bool:
    return path != "-" and (not os.path.basename(path) or os.path.isdir(path))  # noqa: PTH112, PTH119


def _listed(arguments: Namespace) -> Iterator[tuple[Digest, str]]:
    if arguments.list == "-":
        yield from read_sums(sys.stdin, "stdin")
        return
    try:
        with Path(arguments.list).open(encoding="utf-8", errors="surrogateescape") as lines:
            yield from read_sums(lines, arguments.list)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LocalIOError(f"cannot read {arguments.list}: {reason}") from error


def _if_exists(text: str) -> IfExists:
    try:
        return IfExists(text)
    except ValueError:
        choices = ", ".join(choice.value for choice in IfExists)
        raise UsageError(f"--if-exists: {text!r} is not one of {choices}") from None


def _get_all(wants: list[Want], getting: Getting) -> int:
    """Get one after the other; a failure is told and does not stop the rest."""
    failed: list[PirateError] = []
    for want in wants:
        try:
            _get(want, getting)
        except PirateError as error:
            failed.append(error)
            getting.output.failure(error, ref=want.text)
    counts = {"done": len(wants) - len(failed), "failed": len(failed)}
    if not failed:
        getting.output.result("summary", **counts)
        return 0
    alike = len(failed) == len(wants) and len({error.code for error in failed}) == 1
    whole = failed[0] if alike else PartialError(f"{len(failed)} of {len(wants)} files failed")
    getting.output.failure(whole, "summary", **counts)
    return whole.exit_code


def _get(want: Want, getting: Getting) -> None:
    """Get one file to its place, and print where it is."""
    with _target(want, getting) as target:
        digest, getter, close = _start(want, getting, lambda: target.path)
        try:
            verdict, received = getter.to_target(digest, target)
        finally:
            close()
        _report(digest, target.path, verdict, received, getting)


def _target(want: Want, getting: Getting) -> Target:
    arguments = getting.arguments
    if arguments.output is not None:
        folder, name = os.path.split(arguments.output)
        return Target(folder or ".", (), name, getting.if_exists)
    if want.path:
        return Target(arguments.folder, want.path[:-1], want.path[-1], getting.if_exists)
    return Target(arguments.folder, (), None, getting.if_exists)


def _start(
    want: Want, getting: Getting, path: Callable[[], str]
) -> tuple[Digest, Getter, Callable[[], None]]:
    """The digest that is meant, who gets it, and what to call when it is over."""
    stop = Stop()
    digest, network = want.ref, getting.network
    if isinstance(digest, Prefix):
        digest = complete(digest, network.everybody(), network.dialer, network.deadline, stop)
    watcher, close = observer(getting.output, getting.settings.progress, want.text, path)
    terms = getting.terms(watcher, stop)
    getter = Getter(network.peers, terms, getting.wait, network.widen, getting.asked)
    return digest, getter, close


def _to_stdout(want: Want, getting: Getting) -> int:
    digest, getter, close = _start(want, getting, lambda: "-")
    try:
        sys.stdout.flush()
        getter.to_stream(digest, sys.stdout.fileno())
    finally:
        close()
    return 0


def _report(
    digest: Digest, path: str, verdict: Verdict, received: Received, getting: Getting
) -> None:
    output = getting.output
    output.result(
        status=verdict.value,
        sha1=str(digest),
        size=received.size,
        path=path,
        elapsed_s=round(received.elapsed, 6),
        rate_bps=round(received.received / received.elapsed) if received.elapsed else None,
        received_bytes=received.received,
        resumed_bytes=received.resumed,
        sources=[{"peer": label(peer), "bytes": count} for peer, count in received.sources.items()],
        range=_range_of(received),
        proof=_proof(received),
    )
    if verdict is Verdict.SKIPPED:
        what = "holds other content" if getting.asked == WHOLE else "exists"
        output.note(f"{path} {what} and was left alone")
        return
    output.line(harmless(path) if output.stdout.isatty() else path)
    if verdict is Verdict.PRESENT:
        output.note(f"{path} was here already")
    else:
        speed = rate(received.received / received.elapsed) if received.elapsed else ""
        took = f"{size(received.received)} in {seconds(received.elapsed)}, {speed}"
        count = counted(len(received.sources), "peer")
        output.note(f"{_verified(received)}; {took} from {count}")


def _range_of(received: Received) -> dict[str, int] | None:
    if received.bytes is None:
        return None
    start, stop = received.bytes
    return {"start": start, "bytes": stop - start}


def _proof(received: Received) -> str | None:
    """What proves a range; the whole file is proven by its digest or not there at all."""
    if received.bytes is None:
        return None
    return "digest" if received.by_digest else "chain"


def _verified(received: Received) -> str:
    if received.bytes is None:
        return "verified"
    start, stop = received.bytes
    how = "" if received.by_digest else " under the chain that its holders vouch for"
    return f"{stop - start:,} bytes from byte {start:,} on, verified{how}"
