"""From arguments to an exit code: the one place where errors end."""

import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from pirate.cli.arguments import COMMANDS, parse, parser
from pirate.cli.log import log_to_stderr
from pirate.cli.output import Output
from pirate.config import load
from pirate.errors import LocalIOError, PirateError, StoppedError, UsageError
from pirate.scope import StuckError

BROKEN_PIPE = 128 + signal.SIGPIPE


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code. Never raises but for `--help` and `--version`."""
    _prepare_streams()
    if not argv:
        sys.stderr.write(parser().format_help())
        return UsageError.exit_code
    output = Output(_guess(argv), json="--json" in argv)
    try:
        with _signals():
            arguments = parse(argv)
            settings = load(vars(arguments), os.environ, arguments.config)
            output = Output(
                arguments.command,
                json=arguments.json,
                quiet=arguments.quiet,
                color=settings.color,
            )
            log_to_stderr(arguments.verbose, quiet=arguments.quiet)
            # A module of ``commands`` has run(arguments, settings, output), which gives the code.
            command: Any = importlib.import_module(f"pirate.cli.commands.{arguments.command}")
            code: int = command.run(arguments, settings, output)
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        _abandon_stdout()
        return BROKEN_PIPE
    except StuckError as error:
        # Its threads would keep the interpreter from exiting, too.
        os._exit(_fail(output, PirateError(str(error))))
    except (Exception, Interrupted) as error:
        ours = _ours(error)
        if not ours and "-vv" in argv:
            raise
        return _fail(output, ours or PirateError(f"{type(error).__name__}: {error}"))


class Interrupted(KeyboardInterrupt):
    """A signal asks us to end; raised in the main thread."""

    def __init__(self, number: int) -> None:
        self.error = StoppedError(f"stopped by {signal.Signals(number).name}")
        self.error.exit_code = 128 + number


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into an exception; a second one ends the process at once."""

    def interrupt(number: int, _: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(number)

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _fail(output: Output, error: PirateError) -> int:
    with contextlib.suppress(BrokenPipeError):
        output.failure(error)
    return error.exit_code


def _ours(error: BaseException) -> PirateError | None:
    """What to tell of ``error``; None if it is a bug."""
    match error:
        case PirateError():
            return error
        case Interrupted():
            return error.error
        case ExceptionGroup():  # of threads: what one raised on purpose says more than the group
            return next(filter(None, map(_ours, error.exceptions)), None)
        case OSError():  # of stdout; all others are translated where they come up
            _abandon_stdout()
            what = f"{error.filename}: " if error.filename else ""
            return LocalIOError(f"{what}{(error.strerror or str(error)).lower()}")
    return None


def _prepare_streams() -> None:
    """Have all three streams, and let file names that are not UTF-8 through as their bytes.

    What was closed by whoever started us becomes /dev/null, in this order, so that no socket
    gets its number and nothing that was meant for one stream reaches another.
    """
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    for stream, errors in (
        (sys.stdin, "surrogateescape"),
        (sys.stdout, "surrogateescape"),
        (sys.stderr, "backslashreplace"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def _abandon_stdout() -> None:
    """Nobody takes what is written: what is still buffered must not raise again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _guess(argv: Sequence[str]) -> str:
    """The command's name, for the JSON of a command line that cannot be read."""
    return next((word for word in argv if word in COMMANDS), "usage")
