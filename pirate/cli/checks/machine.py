"""What this machine gives us: disk, descriptors, clock, and the speed of SHA-1."""

import errno
import fcntl
import os
import resource
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from pirate.cli.checks.finding import Finding, problem, warning
from pirate.cli.text import rate, size
from pirate.disk import sha1
from pirate.errors import LocalIOError
from pirate.model import Announcement
from pirate.pages import pages

# A serve with fewer turns guests away that others could still have.
DESCRIPTORS = 4096

# What is left on a disk that is as good as full.
LEAST_ROOM = 100 * 1024 * 1024

# A gigabit network brings as much.
SLOW_HASH = 125_000_000

# Peers that began later than now have another clock than we.
SKEW_SECONDS = 60.0

# Before this was written no clock was right.
_WRITTEN = 1_763_000_000.0

_HASHED_BYTES = 64 * 1024 * 1024
_PIECE = 1024 * 1024


def folder(check: str, path: str) -> Finding:
    """Whether files can be finished in a folder: made, locked, linked to their name."""
    try:
        with tempfile.TemporaryDirectory(dir=path, prefix=".pirate-doctor-") as scratch:
            _try_out(Path(scratch))
        room = os.statvfs(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return problem(check, f"{path}: {reason}", "Choose another folder", LocalIOError)
    free = room.f_bavail * room.f_frsize
    if free < LEAST_ROOM:
        return warning(check, f"{path} has room for {size(free)}", "Make room")
    return Finding(check, f"{path} can be written; {size(free)} are free")


def _try_out(folder: Path) -> None:
    with (folder / "part").open("xb") as file:
        file.write(b"x")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fsync(file.fileno())
    try:
        (folder / "whole").hardlink_to(folder / "part")
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise


def descriptors() -> Finding:
    """How many files and connections a process may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        found = f"a process may have {hard} files and connections"
        return warning("descriptors", found, f"Raise it for serve: ulimit -Hn {DESCRIPTORS}")
    limit = "any number of" if hard == resource.RLIM_INFINITY else f"{hard}"
    return Finding("descriptors", f"a process may have {limit} files and connections")


def clock(announcements: Iterable[Announcement]) -> Finding:
    """Whether ours agrees with that of others, as far as their announcements tell."""
    now = time.time()
    ahead = [each for each in announcements if each.started > now + SKEW_SECONDS]
    if now < _WRITTEN:
        return warning("clock", f"it is {time.ctime(now)} here", "Set the clock")
    if ahead:
        seconds = max(each.started for each in ahead) - now
        found = f"{ahead[0].name} began {seconds:.0f} s from now, by its clock"
        return warning("clock", found, "Set the clocks; nothing of pirate depends on them")
    return Finding("clock", f"it is {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now))} UTC")


def hashing() -> Finding:
    """How fast one core verifies, and whether in segments."""
    data = pages(_PIECE)
    began = time.perf_counter()
    if not sha1.available():
        do = "Use a Python that is linked with OpenSSL's libcrypto"
        return warning("hashing", "files can only be verified in one piece, by one core", do)
    state = sha1.Sha1()
    for _ in range(_HASHED_BYTES // _PIECE):
        state.update(data)
    speed = _HASHED_BYTES / (time.perf_counter() - began)
    cores = os.cpu_count() or 1
    found = f"{rate(speed)} on each of {cores} cores" if cores > 1 else rate(speed)
    if speed < SLOW_HASH:
        return warning("hashing", found, "Expect downloads to be no faster than that")
    return Finding("hashing", found)
