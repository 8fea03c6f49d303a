"""``pirate get``: download, verify, and say where the files are."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pirate.byterange import WHOLE, ByteRange
from pirate.cli.counting import Counting
from pirate.cli.output import Output
from pirate.cli.sums import read_sums
from pirate.cli.telling import remark, tell
from pirate.cli.watching import Watching
from pirate.config import LEAST_RATE, Settings, duration, files_at_once, holders, parsed, remote
from pirate.disk.names import SafePath, safe_path
from pirate.errors import BusyError, LocalIOError, PartialError, PirateError, UsageError
from pirate.fetch.abreast import Abreast, Relay
from pirate.fetch.get import Getter
from pirate.fetch.many import Many
from pirate.fetch.swarm import complete
from pirate.fetch.target import IfExists, Target, Verdict
from pirate.fetch.terms import Observer, Received, Terms
from pirate.fetch.wishes import Wish, Wishes
from pirate.model import Digest, Peer
from pirate.network import Network
from pirate.ref import Prefix, parse_ref
from pirate.scope import Stop
from pirate.throttle import Throttle


class Want(NamedTuple):
    """One file to get: what the user called it, and its name below the folder, if given."""

    ref: Digest | Prefix
    text: str
    path: SafePath | None


class Limits(NamedTuple):
    """How many holders of a file at once, how many files, and how fast from all of them."""

    holders: int
    at_once: int
    throttle: Throttle | None = None


class Got(NamedTuple):
    """What has become of a file."""

    digest: Digest
    path: str
    verdict: Verdict
    received: Received


@dataclass(frozen=True, slots=True)
class Getting:
    """What all files of one command line share."""

    arguments: Namespace
    settings: Settings
    output: Output
    network: Network
    if_exists: IfExists
    wait: float
    limits: Limits
    asked: ByteRange

    def terms(self, watcher: Observer, stop: Stop, *, at_once: int = 1) -> Terms:
        """The terms of one download, of so many at once."""
        network, (holders, _, throttle) = self.network, self.limits
        if throttle:
            holders = max(1, min(holders, int(throttle.rate / LEAST_RATE) // at_once))
        return Terms(network.dialer, watcher, network.deadline, stop, holders, throttle)

    def alone(self) -> "Getting":
        """The same for one file after the other."""
        return replace(self, limits=self.limits._replace(at_once=1))


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """Get every file that can be had; raises what ended the only one, or tells of each."""
    wants = _wants(arguments)
    only = tuple(parsed(remote, text, "--from") for text in arguments.only or ())
    with Network(settings, only, refresh=arguments.refresh) as network:
        getting = Getting(
            arguments,
            settings,
            output,
            network,
            _if_exists(arguments.if_exists),
            parsed(duration, arguments.wait or "0", "--wait"),
            _limits(arguments, settings),
            _asked(arguments),
        )
        if arguments.output == "-":
            return _to_stdout(wants[0], getting)
        if len(wants) == 1 and not arguments.list:
            return _get_one(wants[0], getting)
        return _get_all(wants, getting)


def _limits(arguments: Namespace, settings: Settings) -> Limits:
    """What the user allows; a low limit on speed is shared by few: too little is a stall."""
    limits = Limits(
        parsed(holders, arguments.holders, "-s"), parsed(files_at_once, arguments.at_once, "-j")
    )
    if settings.limit_down is None:
        return limits
    most = settings.limit_down // LEAST_RATE
    return Limits(limits.holders, min(limits.at_once, most), Throttle(settings.limit_down))


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
    """Get the small ones together and then the others; a failure does not stop the rest."""
    failed: list[PirateError] = []

    def fail(want: Want, error: PirateError) -> None:
        failed.append(error)
        getting.output.failure(error, ref=want.text)

    _get_large(_get_small(wants, getting, fail), getting, fail)
    counts = {"done": len(wants) - len(failed), "failed": len(failed)}
    if not failed:
        getting.output.result("summary", **counts)
        return 0
    alike = len(failed) == len(wants) and len({error.code for error in failed}) == 1
    whole = failed[0] if alike else PartialError(f"{len(failed)} of {len(wants)} files failed")
    getting.output.failure(whole, "summary", **counts)
    return whole.exit_code


def _get_small(
    wants: list[Want], getting: Getting, fail: Callable[[Want, PirateError], None]
) -> list[Want]:
    """Get what is small, and say what is left."""
    known: list[Want] = []
    wishes: list[Wish] = []
    for want in wants:
        if isinstance(want.ref, Digest):
            known.append(want)
            *parts, name = want.path or (None,)
            wishes.append(Wish(want.ref, tuple(filter(None, parts)), name))
    network, output = getting.network, getting.output
    counting = Counting(output, getting.settings.progress, len(wishes))
    patient = getting.wait > 0
    terms = getting.terms(counting, Stop())
    many = Many(Wishes(wishes, getting.arguments.folder, getting.if_exists), terms, patient=patient)
    with closing(counting), closing(many.run(network.peers, network.widen)) as outcomes:
        for number, verdict, path, received, error in outcomes:
            present = verdict is Verdict.PRESENT
            counting.count(received.received, present=present, failed=error is not None)
            if error:
                fail(known[number], error)
            elif verdict:
                tell(wishes[number].digest, path, verdict, received, output)
            if verdict is Verdict.SKIPPED:
                output.note(f"{path} holds other content and was left alone")
    later = {id(known[number]) for number in many.later}
    return [want for want in wants if not isinstance(want.ref, Digest) or id(want) in later]


def _get_large(
    wants: list[Want], getting: Getting, fail: Callable[[Want, PirateError], None]
) -> None:
    """Get each by itself, a few at once."""
    at_once = min(getting.limits.at_once, len(wants))
    network, progress = getting.network, getting.settings.progress
    again: list[Want] = []

    def get(want: Want, stop: Stop) -> Got:
        with _target(want, getting) as target:
            watcher, close = abreast.ask(
                lambda: watching.observer(want.text, lambda: target.path), stop
            )
            terms = getting.terms(Relay(watcher, abreast.tell), stop, at_once=at_once)
            widen = network.widening()
            getter = Getter(
                lambda: abreast.ask(network.peers, stop),
                terms,
                getting.wait,
                lambda: abreast.ask(widen, stop),
            )
            try:
                digest = _whole(want, lambda: abreast.ask(network.everybody, stop), terms)
                verdict, received = getter.to_target(digest, target)
            finally:
                abreast.tell(close)
            return Got(digest, target.path, verdict, received)

    abreast = Abreast(get, Stop())
    with (
        closing(Watching(getting.output, progress, several=at_once > 1)) as watching,
        closing(abreast.run(wants, at_once)) as outcomes,
    ):
        for want, outcome in outcomes:
            if isinstance(outcome, BusyError) and at_once > 1:
                again.append(want)  # the list has it twice, so maybe we are busy with it
            elif isinstance(outcome, PirateError):
                fail(want, outcome)
            else:
                _say(outcome, getting)
    if again:
        _get_large(again, getting.alone(), fail)


def _get_one(want: Want, getting: Getting) -> int:
    """Get the only one to its place, and print where it is."""
    with _target(want, getting) as target:
        getter, close = _start(want, getting, lambda: target.path)
        try:
            digest = _whole(want, getting.network.everybody, getter.terms)
            verdict, received = getter.to_target(digest, target)
        finally:
            close()
        _say(Got(digest, target.path, verdict, received), getting)
    return 0


def _say(got: Got, getting: Getting) -> None:
    digest, path, verdict, received = got
    tell(digest, path, verdict, received, getting.output)
    remark(path, verdict, received, getting.output, getting.asked)


def _whole(want: Want, everybody: Callable[[], Sequence[Peer]], terms: Terms) -> Digest:
    """The digest that is meant."""
    if isinstance(want.ref, Digest):
        return want.ref
    return complete(want.ref, everybody(), terms.dialer, terms.deadline, terms.stop)


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
) -> tuple[Getter, Callable[[], None]]:
    """Who gets the only file, and what to call when it is over."""
    network = getting.network
    watching = Watching(getting.output, getting.settings.progress)
    watcher, close = watching.observer(want.text, path)
    terms = getting.terms(watcher, Stop())
    return Getter(network.peers, terms, getting.wait, network.widen, getting.asked), close


def _to_stdout(want: Want, getting: Getting) -> int:
    getter, close = _start(want, getting, lambda: "-")
    try:
        digest = _whole(want, getting.network.everybody, getter.terms)
        sys.stdout.flush()
        getter.to_stream(digest, sys.stdout.fileno())
    finally:
        close()
    return 0
