"""How a command line ended that was run in this process."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Done(NamedTuple):
    """Its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        """The last of them."""
        return self.objects[-1]

    def says(self, code: str) -> bool:
        """Whether stderr is one line, ``pirate: CODE: what happened; what to do``."""
        line, newline, rest = self.err.partition("\n")
        return (
            line.startswith(f"pirate: {code}: ") and "; " in line and newline == "\n" and not rest
        )


Pirate = Callable[..., Done]
