"""Three real etcd members that elect a leader, to be killed, frozen and wiped as one likes."""

import contextlib
import http.client
import json
import time
from pathlib import Path
from typing import Self

from etcd_server import HEALTHY_SECONDS, EtcdServer, free_port

from pirate.model import Address


class Member(EtcdServer):
    """One of several; it knows the others from the start."""

    def __init__(self, directory: Path, name: str, peers: dict[str, str]) -> None:
        directory.mkdir()
        self._name = name
        self._peers = peers
        super().__init__(directory)

    def is_leader(self) -> bool:
        """Whether it says so; one that does not answer is none."""
        connection = http.client.HTTPConnection(*self.address, timeout=0.5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("POST", "/v3/maintenance/status", "{}")
            with connection.getresponse() as answer:
                status = json.load(answer)
            leader: bool = status.get("leader") == status["header"]["member_id"]
            return leader
        return False

    def _peer_flags(self) -> list[str]:
        return [
            f"--name={self._name}",
            f"--listen-peer-urls={self._peers[self._name]}",
            f"--initial-advertise-peer-urls={self._peers[self._name]}",
            "--initial-cluster=" + ",".join(f"{name}={url}" for name, url in self._peers.items()),
        ]


class EtcdCluster:
    """Three members, which run while the ``with`` block does."""

    def __init__(self, directory: Path) -> None:
        peers = {name: f"http://127.0.0.1:{free_port()}" for name in ("one", "two", "three")}
        self.members = [Member(directory / name, name, peers) for name in peers]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.close()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where clients find the members."""
        return tuple(member.address for member in self.members)

    def start(self) -> None:
        """Run all of them; returns when they have a leader."""
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_until_healthy()

    def leader(self) -> Member:
        """Who leads now."""
        end = time.monotonic() + HEALTHY_SECONDS
        while time.monotonic() < end:
            for member in self.members:
                if member.is_leader():
                    return member
            time.sleep(0.05)
        raise RuntimeError("the members of etcd find no leader")

    def followers(self) -> list[Member]:
        """The others."""
        leader = self.leader()
        return [member for member in self.members if member is not leader]

    def wipe(self) -> None:
        """Kill all of them and remove their data."""
        for member in self.members:
            member.wipe()
