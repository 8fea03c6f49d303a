"""Files that have rotted: what the cache says of them is what they were before."""

import os
import tempfile
from pathlib import Path

from pirate.disk.hashcache import HashCache
from pirate.disk.hashing import Hashed, hash_file
from pirate.disk.place import Identity
from pirate.disk.state import State
from pirate.scope import Stop


def rot(path: Path, at: int, state: Path | str = "") -> Hashed:
    """Let a byte of a file be another one than it was when the cache noted it.

    It is the cache that is changed: nothing else here leaves the times of a file alone.
    ``state`` is that of the environment if empty.
    """
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        hashed = hash_file(file.fileno(), Stop())
    assert hashed
    before = hashed._replace(identity=Identity.of(path.stat()), settled=True)
    cache = HashCache(State(str(state or os.environ["PIRATE_STATE"])))
    cache.keep(before)
    cache.flush()
    return before
