"""``pirate verify``: read what we share again, and say what has rotted."""

import time
from argparse import Namespace
from collections import Counter
from contextlib import closing
from typing import Any

from pirate import sharing
from pirate.cli import text
from pirate.cli.output import Output, one_line
from pirate.cli.reading import Reading, reading
from pirate.config import Settings
from pirate.disk.cursor import Cursor
from pirate.disk.hashcache import HashCache
from pirate.disk.state import State as StateFolder
from pirate.errors import LocalIOError, PartialError, PirateError, RottenError
from pirate.scope import Stop
from pirate.verify import Finding, State, Verification


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """Verify everything; what is bad is told as it is found, and decides the exit code."""
    shares = sharing.shares(settings, sharing.folders(settings))
    state = StateFolder(settings.state)
    rules = [settings.include, settings.exclude, settings.hidden]
    cursor = Cursor(state, shares.roots, rules)
    if not arguments.restart:
        cursor.load()
    cache = HashCache(state)
    shown = reading(output, settings.progress)
    verification = Verification(shares, cache, cursor, shown.heard)
    report = _Report(output, shown, cursor)
    report.begin(verification, shares.roots)
    try:
        with closing(verification.run(Stop())) as findings:
            for several in findings:
                report.tell(several)
    finally:
        shown.close()
        cache.flush()
    return report.end()


class _Report:
    """What was found, and how it is told."""

    def __init__(self, output: Output, shown: Reading, cursor: Cursor) -> None:
        self._output = output
        self._reading = shown
        self._cursor = cursor
        self._resumed = cursor.files, cursor.size
        self._began = time.monotonic()
        self._found: Counter[State] = Counter()
        self._size = 0
        self._path = text.harmless if output.stdout.isatty() else str

    def begin(self, verification: Verification, roots: tuple[str, ...]) -> None:
        """Say how much there is to do."""
        total = verification.total()
        files, size = self._resumed
        self._output.event(
            "start",
            schema="pirate.verify/1",
            folders=list(roots),
            files=total.files,
            bytes=total.size,
            **self._from_before(),
        )
        if files:
            done = f"{text.counted(files, 'file')} ({text.size(size)})"
            self._output.note(f"going on behind {done}; --restart begins anew")
        self._detail()
        self._reading.begin(total.size)

    def tell(self, findings: list[Finding]) -> None:
        """Count what was found, and tell what is bad."""
        for each in findings:
            self._found[each.state] += 1
            if each.state in (State.SOUND, State.NOTED, State.ROTTEN):
                self._size += each.size
            if each.state is State.ROTTEN:
                self._rotten(each)
            elif each.state is State.UNREADABLE:
                self._unreadable(each)
        self._detail()

    def _detail(self) -> None:
        read = text.counted(self._found.total(), "file")
        self._reading.detail = f"{read}, {self._found[State.ROTTEN]:,} rotten"

    def _rotten(self, each: Finding) -> None:
        where = f"; it was {each.was} and is {each.found}"
        segment = each.segment
        if segment:
            last = segment.start + segment.length - 1
            where = f": segment {segment.index} of {segment.count}, bytes {segment.start} to {last}"
            where += f"; it was {each.was}"
        self._output.event(
            "file",
            path=each.path,
            state=each.state,
            size=each.size,
            sha1=str(each.was),
            found=str(each.found),
            segment=segment
            and {
                "index": segment.index,
                "count": segment.count,
                "start": segment.start,
                "bytes": segment.length,
            },
        )
        self._error(RottenError(f"{each.path} has rotted{where}"))
        self._output.line(self._path(each.path))

    def _unreadable(self, each: Finding) -> None:
        reason = ((each.error and (each.error.strerror or str(each.error))) or "").lower()
        error = LocalIOError(f"cannot read {each.path}: {reason}")
        self._output.event("file", path=each.path, state=each.state, message=str(error))
        self._error(error)

    def _error(self, error: PirateError) -> None:
        if not self._output.json:
            self._reading.say(one_line(error))

    def end(self) -> int:
        """Say what came of it all; the exit code."""
        elapsed = time.monotonic() - self._began
        fields: dict[str, Any] = {
            "files": self._found.total(),
            "bytes": self._size,
            **{state.value: self._found[state] for state in State},
            "elapsed_s": round(elapsed, 3),
            "rate_bps": round(self._size / elapsed) if elapsed else 0,
            **self._from_before(),
        }
        error = self._error_of_all()
        self._output.note(self._sentence(elapsed))
        if error is None:
            self._output.result("summary", **fields)
            return 0
        if self._output.json:
            self._output.failure(error, "summary", **fields)
        return error.exit_code

    def _error_of_all(self) -> PirateError | None:
        rotten, unreadable = self._found[State.ROTTEN], self._found[State.UNREADABLE]
        if rotten:
            return RottenError(f"{text.counted(rotten, 'file')} rotten")
        if not unreadable:
            return None
        what = f"{text.counted(unreadable, 'file')} cannot be read"
        read = self._found[State.SOUND] + self._found[State.NOTED]
        return PartialError(what) if read or self._resumed[0] else LocalIOError(what)

    def _sentence(self, elapsed: float) -> str:
        sound = f"{text.counted(self._found[State.SOUND], 'file')} as they were"
        told = [sound]
        for state, words in (
            (State.NOTED, "new and noted"),
            (State.CHANGED, "changed meanwhile"),
            (State.UNREADABLE, "cannot be read"),
            (State.ROTTEN, "rotten"),
        ):
            if self._found[state]:
                told.append(f"{self._found[state]:,} {words}")
        return f"{', '.join(told)}; {text.size(self._size)} in {text.seconds(elapsed)}"

    def _from_before(self) -> dict[str, int | None]:
        files, size = self._resumed
        return {"resumed_files": files or None, "resumed_bytes": size if files else None}
