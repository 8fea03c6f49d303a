"""``pirate serve``: share folders until stopped."""

import contextlib
import os
import signal
import threading
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from pirate import sharing
from pirate.cli.output import Output
from pirate.cli.text import counted, size
from pirate.config import Settings
from pirate.errors import translated
from pirate.node import Node
from pirate.scanning import Progress
from pirate.scope import Scope, Stop

# A first scan that takes longer is worth a remark, and another one now and then.
LONG_SECONDS = 1.0
REMARK_SECONDS = 30.0

# Beyond the drain, what a thread may take to end.
GRACE_SECONDS = 5.0

_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def run(_arguments: Namespace, settings: Settings, output: Output) -> int:
    """Serve until SIGINT or SIGTERM; the second one ends the process at once."""
    folders = sharing.folders(settings)
    with _signals_wait(), _port_file_removed(settings.port_file):
        node = Node(settings, folders)
        with (
            Scope(grace=settings.drain + GRACE_SECONDS) as scope,
            scope.stop.waking(_interrupt_main),
        ):
            node.start(scope)
            scope.spawn("ready", lambda: _tell_ready(node, folders, settings, output, scope.stop))
            while (number := signal.sigwait(_SIGNALS)) == signal.SIGHUP:
                node.library.rescan()
            _let_second_signal_kill()
    output.note(f"stopped by {signal.Signals(number).name}")
    output.result("summary", id=str(node.hello.peer))
    return 0


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Keep our signals for ``sigwait``; threads that are started meanwhile inherit this."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _port_file_removed(path: str | None) -> Iterator[None]:
    """Nobody is told of a port where we are no more, however we end."""
    try:
        yield
    finally:
        if path:
            with contextlib.suppress(OSError):
                Path(path).unlink(missing_ok=True)


def _interrupt_main() -> None:
    """A thread has failed: end ``sigwait`` as if somebody had stopped us."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _let_second_signal_kill() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _tell_ready(
    node: Node, folders: tuple[str, ...], settings: Settings, output: Output, stop: Stop
) -> None:
    """Say that we can answer, in every way that was asked for."""
    scanned = node.library.scanned
    with stop.waking(scanned.set):
        if not scanned.wait(LONG_SECONDS):
            output.note(f"hashing {', '.join(folders)}; what is hashed is shared already")
            before = 0
            while not scanned.wait(REMARK_SECONDS):
                done = node.library.progress
                output.note(_remark(done, (done.bytes - before) / REMARK_SECONDS))
                before = done.bytes
    if not node.wait_until_ready(stop):
        return
    if settings.port_file:
        with translated(f"cannot write {settings.port_file}"):
            _write(Path(settings.port_file), f"{node.listen.port}\n")
    catalog = node.library.catalog
    registered = node.heartbeat.announced.is_set() if node.announces else None
    output.event(
        "ready",
        schema="pirate.serve/1",
        id=str(node.hello.peer),
        name=node.name,
        listen=str(node.listen),
        advertise=str(node.addresses[0]),
        files=len(catalog),
        bytes=catalog.size,
        registered=registered,
    )
    where = f", announced as {node.addresses[0]}" if registered else ""
    shared = f"{counted(len(catalog), 'file')} ({size(catalog.size)}) of {', '.join(folders)}"
    output.note(f"{node.name} shares {shared} on {node.listen}{where}")


def _remark(done: Progress, rate: float) -> str:
    return (
        f"hashed {done.files:,} of {counted(done.of_files, 'file')}, "
        f"{size(done.bytes)} of {size(done.of_bytes)}, {size(round(rate))}/s"
    )


def _write(path: Path, content: str) -> None:
    """Write a small file so that nobody ever reads half of it."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(content, encoding="ascii")
    scratch.replace(path)
