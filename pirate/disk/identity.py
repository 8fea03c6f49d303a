"""Who a `serve` of ours is, and where those that run can be reached."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import IO, Self

from pirate.disk.state import State
from pirate.model import Address, PeerId

# Several on one machine each keep their own. Who comes later is somebody new at each start.
MOST = 32

_ID = "id"
_SERVING = "serving"
_LIMIT = 1024


def new_peer_id() -> PeerId:
    """Somebody who never was."""
    return PeerId(secrets.token_bytes(PeerId.SIZE))


class Identity:
    """The peer id of one `serve`: the same after a restart, and no other's while it runs.

    It lies in a file that is locked meanwhile; the next `serve` of the same user takes the
    next file.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._file, self._number = _taken(state)
        self.peer = _kept(self._file) or self.renew()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody is told of us any more, and another may take over the id."""
        if self._file:
            self._state.remove(_SERVING + self._number)
            self._file.close()

    def renew(self) -> PeerId:
        """Be somebody new from now on, also after a restart."""
        self.peer = new_peer_id()
        if self._file:
            with contextlib.suppress(OSError):  # somebody new again, then
                length = os.pwrite(self._file.fileno(), f"{self.peer}\n".encode(), 0)
                os.ftruncate(self._file.fileno(), length)
        return self.peer

    def serving(self, address: Address) -> None:
        """Tell the commands on this machine that we can be asked there."""
        if self._file:
            self._state.write(
                _SERVING + self._number, f"{address} {os.uname().nodename}\n".encode()
            )


def running(state: State) -> list[Address]:
    """Where each `serve` of this user on this machine can be asked."""
    found = []
    for name in sorted(state.names()):
        word, dot, number = name.partition(".")
        if (
            word == _SERVING
            and (dot == "" or number.isdecimal())
            and state.locked(_ID + dot + number)
        ):
            found += list(_address(state.read(name, _LIMIT)))
    return found


def _taken(state: State) -> tuple[IO[bytes] | None, str]:
    """The first identity that is free, and what the names of its files end in."""
    for number in range(1, MOST + 1):
        ending = f".{number}" if number > 1 else ""
        try:
            return state.lock(_ID + ending), ending
        except BlockingIOError:
            continue
    return None, ""


def _kept(file: IO[bytes] | None) -> PeerId | None:
    """The id in a file, if there is one."""
    if file:
        with contextlib.suppress(OSError, ValueError):
            return PeerId(bytes.fromhex(file.read(_LIMIT).decode("ascii")))
    return None


def _address(data: bytes) -> Iterator[Address]:
    """What ``serving`` has written, if it was on this machine: a home may be that of many."""
    with contextlib.suppress(ValueError):
        text, host = data.decode().split()
        if host == os.uname().nodename:
            yield Address.parse(text, default_port=None)
