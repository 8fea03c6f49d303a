"""A small network for tests that only look: two peers, their folders, and etcd between them."""

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

from honest import NEVER, dialer, digest_of, some_bytes
from processes.peers import Done, Serving, pirate, until

from pirate.deadline import Deadline
from pirate.model import Address, Known, Peer
from pirate.registry.etcd import EtcdRegistry
from pirate.scope import Stop

# What each peer shares, by name. "both.bin" is the same file on both.
MANY = {f"docs/chapter {number}/page.txt": some_bytes(300 + number) for number in range(40)}
LARGE = {"large.bin": some_bytes(3_000_000)}
BOTH = {"both.bin": some_bytes(70_000, seed=1)}
EMPTY = {"empty": b""}
ALPHA = MANY | BOTH
BETA = LARGE | BOTH | EMPTY

TTL = 3.0


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    """Write ``files`` below ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def sha1(content: bytes) -> str:
    return str(digest_of(content))


def announced(etcd: Address) -> dict[str, int]:
    """The peers that etcd knows, by name, and how many files each announces."""
    with closing(EtcdRegistry((etcd,))) as registry:
        peers = registry.peers(Deadline(20.0))
    return {peer.name: peer.announcement.files for peer in peers if peer.announcement}


def known(server: Serving) -> Known:
    """Whom it knows, itself as well."""
    with (
        closing(dialer(stall=20.0)) as dial,
        dial.talk(Peer((server.address,)), NEVER, Stop()) as conversation,
    ):
        return conversation.peers(NEVER)


class Network:
    """Peers ``alpha`` and ``beta`` run while the ``with`` block does."""

    def __init__(self, etcd: Address, folder: Path) -> None:
        self.etcd = etcd
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            self.alpha = self._stack.enter_context(self.serving("alpha", ALPHA))
            self.beta = self._stack.enter_context(self.serving("beta", BETA))
            both = {"alpha": len(ALPHA), "beta": len(BETA)}
            assert until(lambda: announced(self.etcd) == both)  # ready is before
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def serving(self, name: str, files: dict[str, bytes], *flags: object) -> Serving:
        """One more peer; the caller ends it."""
        folder = fill(self._folder / name, files)
        return Serving(folder, "--etcd", self.etcd, "--ttl", f"{TTL}s", *flags)

    def pirate(self, command: str, *arguments: object, **how: object) -> Done:
        """Run a command that finds the peers through etcd."""
        return pirate(command, "--etcd", self.etcd, *arguments, **how)  # type: ignore[arg-type]
