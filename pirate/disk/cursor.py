"""Where a pass over shared files stopped, so that the next one goes on there."""

import contextlib
import hashlib
import json
from collections.abc import Sequence

from pirate.disk.place import Place
from pirate.disk.state import State

_LIMIT = 4 * 1024 * 1024

# With more bad files than this the next pass begins anew.
MOST_BAD = 10_000


class Cursor:
    """The last file of a pass that was broken off, in the order of the walk.

    Files that were bad are remembered, too: the pass that goes on looks at them again, so that
    its result is that of the whole.
    """

    def __init__(self, state: State, roots: Sequence[str], rules: object) -> None:
        """What tells this pass from others: its folders, and ``rules``, as JSON can write them."""
        text = json.dumps([roots, rules]).encode()
        self._state = state
        self._name = f"verify.{hashlib.sha1(text, usedforsecurity=False).hexdigest()[:16]}"
        self._order = {root: number for number, root in enumerate(roots)}
        self._last: Place | None = None
        self._bad: set[Place] = set()
        self.files = 0
        self.size = 0

    def load(self) -> None:
        """Go on where the last pass stopped, if it did and nothing is wrong with what it left."""
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            said = json.loads(self._state.read(self._name, _LIMIT))
            last, bad = self._place(said["last"]), {self._place(each) for each in said["bad"]}
            files, size = int(said["files"]), int(said["bytes"])
            self._last, self._bad, self.files, self.size = last, bad, files, size

    def passed(self, place: Place) -> bool:
        """Whether a file was verified already, in this pass or the one that it goes on with."""
        if self._last is None:
            return False
        here, there = self._order[place.root], self._order[self._last.root]
        return (here, place.parts) <= (there, self._last.parts)

    def was_bad(self, place: Place) -> bool:
        """Whether it was bad then."""
        return place in self._bad

    def note(self, place: Place, *, bad: bool) -> None:
        """What a file turned out to be, before the cursor moves behind it."""
        (self._bad.add if bad else self._bad.discard)(place)

    def move(self, place: Place, size: int) -> None:
        """A file of this size is done, and all before it."""
        if not self.passed(place):
            self._last = place
            self.files += 1
            self.size += size

    def save(self) -> None:
        """Have the next pass go on here."""
        if self._last is None or len(self._bad) > MOST_BAD:
            return
        said = {
            "last": self._last,
            "bad": sorted(self._bad),
            "files": self.files,
            "bytes": self.size,
        }
        self._state.write(self._name, json.dumps(said).encode())

    def remove(self) -> None:
        """Have the next pass begin anew."""
        self._state.remove(self._name)

    def _place(self, said: object) -> Place:
        match said:
            case [str(root), [*parts]] if root in self._order and parts:
                return Place(root, tuple(map(str, parts)))
        raise ValueError("no place below these folders")
