"""Every error that pirate raises on purpose.

An error's docstring is the advice its user gets: the command line prints
``pirate: CODE: what happened; advice``. A class exists for each thing that a caller
does differently; ``exit_code`` is part of the contract with scripts.
"""

import contextlib
from collections.abc import Iterator


class PirateError(Exception):
    """Report this."""

    code = "internal"
    exit_code = 1

    @property
    def advice(self) -> str:
        """What the user can do about it: the docstring's first line, without its full stop."""
        lines = (type(self).__doc__ or "").splitlines()
        return lines[0].rstrip(".") if lines else ""


class UsageError(PirateError):
    """See `pirate --help`."""

    code = "usage"
    exit_code = 2


class OutsideError(UsageError):
    """Choose a range that begins before the end of the file."""


class NotFoundError(PirateError):
    """Check the digest with `pirate ls`, or let --wait DURATION wait for a holder."""

    code = "not_found"
    exit_code = 3


class NoNetworkError(PirateError):
    """Name an etcd (--etcd HOST:PORT) or a peer (--peer HOST:PORT) that runs, and try again."""

    code = "no_network"
    exit_code = 4


class NoServeError(PirateError):
    """Start one with `pirate serve`, or name the --state folder or the address of another's."""

    code = "no_network"
    exit_code = 4


class NotReadyError(PirateError):
    """Wait for the end of the first look at its folders; what is hashed is shared already."""

    code = "not_ready"
    exit_code = 12


class TransferFailedError(PirateError):
    """Run the same command again: what has arrived is kept."""

    code = "transfer_failed"
    exit_code = 5


class IntegrityError(PirateError):
    """Nothing was written; find the peer that lies with -v, and get the file --from another."""

    code = "integrity"
    exit_code = 6


class RottenError(PirateError):
    """Get the file again by the SHA-1 that it had (`pirate get`), and look at the disk."""

    code = "integrity"
    exit_code = 6


class TimedOutError(PirateError):
    """Run the same command again, or give it more time: what has arrived is kept."""

    code = "timeout"
    exit_code = 7


class LocalIOError(PirateError):
    """Look at the path, its permissions and the free space."""

    code = "local_io"
    exit_code = 8


class ExistsError(PirateError):
    """Choose another -o, or say --if-exists overwrite, rename or skip."""

    code = "exists"
    exit_code = 9


class PartialError(PirateError):
    """The lines above say which failed; running the same command again takes the rest."""

    code = "partial"
    exit_code = 11


class BusyError(PirateError):
    """Wait for the other pirate to finish."""

    code = "busy"
    exit_code = 12


class BindError(PirateError):
    """Choose another --listen ADDR:PORT; port 0 takes any free one."""

    code = "bind"
    exit_code = 13


class AmbiguousError(PirateError):
    """Give more digits."""

    code = "ambiguous"
    exit_code = 14


class StaleError(PirateError):
    """The file has changed since it was hashed; it is listed again after the next scan."""

    code = "stale"
    exit_code = 8


class RegistryError(PirateError):
    """Look at the registry; pirate goes on with the peers it knows and tries again by itself."""

    code = "registry"
    exit_code = 4


class DeniedError(RegistryError):
    """Check --etcd-user and PIRATE_ETCD_PASSWORD, and what etcd grants this user."""

    code = "denied"
    exit_code = 10


class ClashError(RegistryError):
    """Nothing to do: this node goes on under a new peer id."""


class StoppedError(PirateError):
    """Run the same command again: what has arrived is kept."""

    code = "interrupted"
    exit_code = 130


class PeerError(PirateError):
    """One peer failed; others may not. Callers drop this peer and go on."""

    code = "peer"
    exit_code = 5


class UnreachableError(PeerError):
    """Nobody answers at this address."""

    code = "unreachable"


class LostError(PeerError):
    """The connection ended before the answer did."""

    code = "lost"


class StalledError(PeerError):
    """The peer is too slow or silent."""

    code = "stall"


class ProtocolError(PeerError):
    """What answers there does not speak pirate's protocol; look at the port."""

    code = "protocol"


class LiedError(PeerError):
    """The peer sent bytes that do not have the digest it vouched for."""

    code = "integrity"


class UnaskedError(PeerError):
    """Ask this peer yourself: who was asked for its list has none to give."""

    code = "unasked"


class ToldError(PeerError):
    """Another peer has tried, and says why it failed."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class RefusedError(PeerError):
    """The peer answered with an error; ``reason`` is its code on the wire, in lower case."""

    def __init__(self, reason: str, text: str, *, retry_after: float = 0.0) -> None:
        """``retry_after`` is in seconds, 0 if the peer gave none."""
        super().__init__(f"{reason}: {text}" if text else reason)
        self.code = reason
        self.retry_after = retry_after


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn an OSError in the block into a LocalIOError that says what was tried."""
    try:
        yield
    except OSError as error:
        raise LocalIOError(f"{what}: {(error.strerror or str(error)).lower()}") from error
