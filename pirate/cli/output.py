"""The streams: results on stdout, all else on stderr, and one shape of JSON for scripts."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TextIO

from pirate.cli.text import harmless
from pirate.errors import PirateError

Report = Mapping[str, Any]

PIECE_CHARACTERS = 64 * 1024


class Output:
    """Where a command reports to. With ``json`` set nothing but JSON reaches stdout."""

    def __init__(
        self,
        command: str,
        *,
        json: bool = False,
        quiet: bool = False,
        color: str = "auto",
    ) -> None:
        self.command = command
        self.json = json
        self.quiet = quiet
        self.stdout = sys.stdout
        self.stderr = sys.stderr
        self._color = color
        # Prints a line above a bar, while one is drawn on the terminal.
        self.above: Callable[[str], None] | None = None

    def line(self, text: str) -> None:
        """A line of the result for people; its text is harmless already."""
        if not self.json:
            self._print(text, self.stdout)

    def note(self, text: str) -> None:
        """A remark on stderr, not with -q."""
        if not self.quiet and not self.json:
            self._print(f"pirate: {harmless(text)}", self.stderr)

    def event(self, kind: str, **fields: Any) -> None:  # noqa: ANN401
        """One object of a stream of JSON objects."""
        if self.json:
            self._dump({"type": kind, **_present(fields)})

    def result(self, kind: str = "result", **fields: Any) -> None:  # noqa: ANN401
        """The last object, of a command that succeeded."""
        if self.json:
            self._dump(self._head(kind, "ok", 0) | _present(fields))

    def result_with(self, name: str, rows: Iterable[Report], **fields: Any) -> None:  # noqa: ANN401
        """The same, with many rows under a name at its end, which need not be there at once."""
        if self.json:
            head = json.dumps(self._head("result", "ok", 0) | _present(fields))
            self.lines(_array(head[:-1] + f", {json.dumps(name)}: [", rows, "]}\n"))

    def lines(self, texts: Iterable[str]) -> None:
        """Very many short texts, ends of lines among them, written some at a time."""
        for piece in in_pieces(texts):
            self.stdout.write(piece)
        self.stdout.flush()

    def failure(self, error: PirateError, kind: str = "result", **fields: Any) -> None:  # noqa: ANN401
        """Say what went wrong and what to do: a line on stderr, or the last JSON object."""
        if self.json:
            head = self._head(kind, error.code, error.exit_code)
            self._dump(head | {"message": str(error), "advice": error.advice} | _present(fields))
        else:
            self._print(one_line(error), self.stderr)

    def colored(self, stream: TextIO) -> bool:
        """Whether ``stream`` is to have colours and tables: a terminal, or --color always."""
        if self._color != "auto":
            return self._color == "always"
        return self.moving(stream) and not os.environ.get("NO_COLOR")

    def _print(self, text: str, stream: TextIO) -> None:
        if self.above and stream.isatty():
            self.above(text)
        else:
            print(text, file=stream, flush=True)

    @staticmethod
    def moving(stream: TextIO) -> bool:
        """Whether a bar can be drawn on ``stream``: a terminal that can move its cursor."""
        return stream.isatty() and os.environ.get("TERM") != "dumb"

    def _head(self, kind: str, code: str, exit_code: int) -> dict[str, Any]:
        return {
            "type": kind,
            "schema": f"pirate.{self.command}/1",
            "ok": exit_code == 0,
            "code": code,
            "exit": exit_code,
        }

    def _dump(self, document: Report) -> None:
        print(json.dumps(document), file=self.stdout, flush=True)


def one_line(error: PirateError) -> str:
    """``pirate: CODE: what happened; what to do``."""
    advice = error.advice[:1].lower() + error.advice[1:]
    return harmless(f"pirate: {error.code}: {error}; {advice}")


def in_pieces(texts: Iterable[str]) -> Iterator[str]:
    """Texts joined to longer ones that are worth a write each."""
    piece: list[str] = []
    room = PIECE_CHARACTERS
    for text in texts:
        piece.append(text)
        room -= len(text)
        if room < 0:
            yield "".join(piece)
            piece, room = [], PIECE_CHARACTERS
    yield "".join(piece)


def _array(before: str, rows: Iterable[Report], after: str) -> Iterator[str]:
    yield before
    separator = ""
    for row in rows:
        yield separator + json.dumps(row)
        separator = ", "
    yield after


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without the absent ones: absent beats null."""
    return {name: value for name, value in fields.items() if value is not None}
