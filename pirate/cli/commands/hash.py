"""``pirate hash``: the digests of local files, in sha1sum's format."""

import contextlib
import os
import stat
from argparse import Namespace
from pathlib import Path

from pirate.cli.output import Output, one_line
from pirate.cli.sums import sum_line
from pirate.cli.text import counted, harmless
from pirate.config import Settings
from pirate.disk.hashcache import Asked, HashCache
from pirate.disk.hashing import Hashed, digest_of, hash_file
from pirate.disk.place import Identity
from pirate.disk.state import State
from pirate.errors import LocalIOError, PartialError, translated
from pirate.model import Digest
from pirate.scope import Stop


def run(arguments: Namespace, settings: Settings, output: Output) -> int:
    """Hash every file that can be read; then raise for those that cannot."""
    cache = HashCache(State(settings.state))
    try:
        return _run(arguments, cache, output)
    finally:
        cache.flush()


def _run(arguments: Namespace, cache: HashCache, output: Output) -> int:
    known = _known(arguments.files, cache)
    files = []
    failed: dict[str, LocalIOError] = {}
    shown = harmless if output.stdout.isatty() else str
    for path in arguments.files:
        try:
            digest, size = _hash(path, known, cache)
        except LocalIOError as error:
            failed[path] = error
            if not output.json:
                print(one_line(error), file=output.stderr)
            continue
        files.append({"path": path, "sha1": str(digest), "size": size})
        output.line(shown(sum_line(digest, path)))
    if not failed:
        output.result(files=files)
        return 0
    first = next(iter(failed.values()))
    whole = PartialError(f"{counted(len(failed), 'file')} cannot be read") if files else first
    if output.json:
        report = [{"path": path, "message": str(error)} for path, error in failed.items()]
        output.failure(whole, files=files, failed=report)
    return whole.exit_code


def _known(paths: list[str], cache: HashCache) -> dict[Identity, Hashed]:
    """What the cache knows of these files."""
    identities = []
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            identities.append(Identity.of(Path(path).stat()))
    known = cache.find(Asked(identities), Stop())
    return {
        identity: hashed
        for at, identity in enumerate(identities)
        if (hashed := known.hashed(at, identity))
    }


def _hash(path: str, known: dict[Identity, Hashed], cache: HashCache) -> tuple[Digest, int]:
    with translated(f"cannot read {path}"):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(file)
            if stat.S_ISDIR(status.st_mode):
                raise LocalIOError(f"{path} is a folder")
            if not stat.S_ISREG(status.st_mode):
                raise LocalIOError(f"{path} is no regular file")
            hashed = known.get(Identity.of(status))
            return hashed.digest if hashed else _read(file, cache), status.st_size
        finally:
            os.close(file)


def _read(file: int, cache: HashCache) -> Digest:
    hashed = hash_file(file, Stop())
    if hashed:
        cache.keep(hashed)
        return hashed.digest
    digest = digest_of(file)  # it grows, and this is what it had at some time
    assert digest  # noqa: S101 - None is for those who pass a Stop
    return digest
