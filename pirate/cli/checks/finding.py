"""What a check has found."""

import enum
from dataclasses import dataclass

from pirate.errors import PirateError


class State(enum.Enum):
    """How serious it is; the value is its name for people and JSON."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one ``check``: what was ``found``, and what to ``do`` unless all is well.

    ``error`` is the kind of error that a command would meet.
    """

    check: str
    found: str
    state: State = State.OK
    do: str = ""
    error: type[PirateError] | None = None


def warning(check: str, found: str, do: str) -> Finding:
    """Something that works, though not as well as it could."""
    return Finding(check, found, State.WARNING, do)


def problem(check: str, found: str, do: str, error: type[PirateError]) -> Finding:
    """Something that does not work."""
    return Finding(check, found, State.PROBLEM, do, error)
