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

from pirate.cli.arguments import parser
from pirate.cli.log import log_to_stderr
from pirate.cli.output import Output
from pirate.config import load
from pirate.errors import PirateError, StoppedError
from pirate.scope import StuckError

BROKEN_PIPE = 128 + signal.SIGPIPE


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code. Never raises but for `--help` and `--version`."""
    _accept_any_name()
    output = Output(_guess(argv), json="--json" in argv)
    try:
        with _signals():
            arguments = parser().parse_args(argv)
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
    except PirateError as error:
        return _fail(output, error)
    except Interrupted as interrupted:
        return _fail(output, interrupted.error)
    except BrokenPipeError:
        # Nobody reads on; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except StuckError as error:
        # Its threads would keep the interpreter from exiting, too.
        os._exit(_fail(output, PirateError(str(error))))
    except Exception as error:
        if "-vv" in argv:
            raise
        return _fail(output, PirateError(f"{type(error).__name__}: {error}"))


class Interrupted(BaseException):
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


def _accept_any_name() -> None:
    """Let file names that are not UTF-8 through to stdout as the bytes they are."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def _guess(argv: Sequence[str]) -> str:
    """The command's name, for the JSON of a command line that cannot be read."""
    return next((word for word in argv if not word.startswith("-")), "usage")
