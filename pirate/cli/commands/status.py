"""``pirate status``: how the serve of this machine is."""

import time
from argparse import Namespace
from contextlib import closing
from typing import Any, NamedTuple

from pirate.cli import text
from pirate.cli.output import Output, Report
from pirate.config import Settings, parsed, remote
from pirate.deadline import Deadline
from pirate.disk.identity import running
from pirate.disk.state import State
from pirate.errors import NoServeError, NotReadyError, PeerError
from pirate.model import Peer
from pirate.net.dial import Dialer
from pirate.net.survey import survey
from pirate.network import new_hello
from pirate.scope import Stop
from pirate.wire import messages

ASK_SECONDS = 3.0

_LAST_SECOND = 253_402_300_799  # that a calendar can show


class Told(NamedTuple):
    """What a serve says of itself: its HELLO, and its state."""

    hello: messages.Hello
    state: messages.State


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """Ask each serve of this machine, or those at the addresses, and show what it says."""
    named = [parsed(remote, word, "HOST:PORT") for word in arguments.addresses]
    peers = [Peer((address,)) for address in named or running(State(settings.state))]
    if not peers:
        raise NoServeError("no serve runs here")
    answers = _ask(peers, settings)
    silent = [(peer, each) for peer, each in answers if isinstance(each, PeerError)]
    if silent and (arguments.check or len(silent) == len(answers)):
        peer, error = silent[0]
        raise NoServeError(f"the serve at {peer} does not answer: {error}")
    if arguments.check:
        for _, each in answers:
            if isinstance(each, Told) and not each.state.ready:
                raise NotReadyError(f"{each.hello.name} is still {_scanning(each.state)}")
    output.result(serves=[_row(peer, each) for peer, each in answers])
    if not arguments.check:
        _show(answers, output)
    return 0


def _ask(peers: list[Peer], settings: Settings) -> list[tuple[Peer, Told | PeerError]]:
    """What each of them says, or why it does not, in their order."""
    dialer = Dialer(new_hello(), connect=settings.connect_timeout, stall=settings.stall_timeout)

    def ask(peer: Peer, deadline: Deadline, stop: Stop) -> Told:
        with dialer.talk(peer, deadline, stop) as conversation:
            return Told(conversation.peer, conversation.state(deadline))

    deadline = Deadline.within(settings.timeout).at_most(ASK_SECONDS)
    with closing(dialer), closing(survey(peers, ask, deadline, Stop())) as answers:
        return sorted(answers, key=lambda answer: peers.index(answer[0]))


def _row(peer: Peer, answer: Told | PeerError) -> Report:
    """A serve as JSON shows it."""
    addr = str(peer.addresses[0])
    if isinstance(answer, PeerError):
        return {"addr": addr, "reachable": False, "code": answer.code, "message": str(answer)}
    hello, state = answer
    registry: dict[str, Any] = {"kind": state.registry, "ok": _well(state)}
    if state.problem:
        registry["problem"] = state.problem
    if state.age != messages.UNKNOWN_AGE:
        registry["age_s"] = state.age
    row = {
        "addr": addr,
        "reachable": True,
        "id": str(hello.peer),
        "name": hello.name,
        "version": hello.version,
        "pid": state.pid,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", _moment(state)),
        "listen": state.listen,
        "addresses": list(state.addresses),
        "folders": list(state.folders),
        "files": state.files,
        "bytes": state.size,
        "ready": bool(state.ready),
        "watching": bool(state.watching),
        "transfers": state.transfers,
        "sent_bytes": state.sent,
        "registry": registry,
        "registered": bool(state.announced),
        "peers": state.peers,
    }
    if not state.ready:
        row["scan"] = {
            "files": state.hashed_files,
            "of_files": state.files_to_hash,
            "bytes": state.hashed_bytes,
            "of_bytes": state.bytes_to_hash,
        }
    return row


def _show(answers: list[tuple[Peer, Told | PeerError]], output: Output) -> None:
    for number, (peer, answer) in enumerate(answers):
        if number:
            output.line("")
        if isinstance(answer, PeerError):
            lines = [("address", str(peer)), ("state", f"does not answer: {answer}")]
        else:
            lines = _lines(*answer)
        for word, told in lines:
            output.line(f"{word:<9}  {text.harmless(told)}")


def _lines(hello: messages.Hello, state: messages.State) -> list[tuple[str, str]]:
    """A serve as people want to see it."""
    age = max(0.0, time.time() - min(state.started, _LAST_SECOND))
    return [
        ("name", f"{hello.name} ({hello.peer})"),
        ("process", f"{state.pid}, for {text.seconds(age)}, version {hello.version}"),
        ("state", "ready" if state.ready else _scanning(state)),
        ("shares", f"{text.counted(state.files, 'file')} ({text.size(state.size)})"),
        *(("folder", folder) for folder in state.folders),
        ("changes", "are told" if state.watching else "are looked for on the timer"),
        ("listens", state.listen),
        ("announced", ", ".join(state.addresses) if state.announced else "nowhere"),
        ("registry", _registry(state)),
        ("peers", f"{state.peers:,}"),
        ("transfers", f"{state.transfers:,} now, {text.size(state.sent)} sent so far"),
    ]


def _scanning(state: messages.State) -> str:
    return (
        f"hashing: {state.hashed_files:,} of {text.counted(state.files_to_hash, 'file')} so far, "
        f"{text.size(state.hashed_bytes)} of {text.size(state.bytes_to_hash)}"
    )


def _registry(state: messages.State) -> str:
    if not state.registry:
        return "none"
    if state.age == messages.UNKNOWN_AGE:
        when = "has not answered yet"
    else:
        when = f"answered {text.seconds(state.age)} ago"
    return f"{state.registry}, {when}" + (f": {state.problem}" if state.problem else "")


def _well(state: messages.State) -> bool:
    return not state.problem and state.age != messages.UNKNOWN_AGE


def _moment(state: messages.State) -> time.struct_time:
    return time.gmtime(min(state.started, _LAST_SECOND))
