"""``pirate hash``: the digests of local files, in sha1sum's format."""

import os
import stat
from argparse import Namespace

from pirate.cli.output import Output, one_line
from pirate.cli.sums import sum_line
from pirate.cli.text import counted, harmless
from pirate.config import Settings
from pirate.disk.hashing import digest_of
from pirate.disk.tree import translated
from pirate.errors import LocalIOError, PartialError
from pirate.model import Digest


def run(arguments: Namespace, _settings: Settings, output: Output) -> int:
    """Hash every file that can be read; then raise for those that cannot."""
    files = []
    failed: dict[str, LocalIOError] = {}
    shown = harmless if output.stdout.isatty() else str
    for path in arguments.files:
        try:
            digest, size = _hash(path)
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


def _hash(path: str) -> tuple[Digest, int]:
    with translated(f"cannot read {path}"):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(file)
            if stat.S_ISDIR(status.st_mode):
                raise LocalIOError(f"{path} is a folder")
            if not stat.S_ISREG(status.st_mode):
                raise LocalIOError(f"{path} is no regular file")
            digest = digest_of(file)
        finally:
            os.close(file)
    assert digest  # noqa: S101 - None is for those who pass a Stop
    return digest, status.st_size
