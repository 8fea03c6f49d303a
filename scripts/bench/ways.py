"""The ways to get a file that are compared: a server, what fetches from it, what then checks."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import measure
from measure import MissingError, Place

# One process, so that its CPU and memory are easily told; sendfile as one would set it up.
NGINX = """
daemon off; master_process off; pid {scratch}/nginx.pid; error_log {scratch}/nginx.log;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi; uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    server {{ listen {host}:{port}; root {share}; }}
}}
"""

# Without a uid of its own, a daemon that root starts would read as nobody.
RSYNCD = """
use chroot = no
reverse lookup = no
pid file = {scratch}/rsyncd.pid
log file = {scratch}/rsyncd.log
[share]
path = {share}
uid = {uid}
gid = {gid}
read only = yes
"""

ARIA_CONNECTIONS = 4


class Setting(NamedTuple):
    """What all of them get, and where. ``scratch`` is one way's own."""

    pirate: str | None
    data: Path
    digest: str
    scratch: Path
    place: Place


class Service(NamedTuple):
    """A server that is ready: its process, and what fetches from it into a file."""

    pid: int
    fetch: Callable[[Path], list[str]]


class Way(NamedTuple):
    """One row of the table. ``check`` is run on the result, as a part of what is measured."""

    name: str
    serving: Callable[[Setting], AbstractContextManager[Service]]
    check: tuple[str, ...] = ()


@contextmanager
def _pirate(setting: Setting) -> Iterator[Service]:
    pirate = setting.pirate or measure.pirate_command()
    folder = setting.data.parent
    with measure.pirate_serving(pirate, folder, setting.scratch, setting.place) as (server, at):
        get = [pirate, "get", "-q", setting.digest, "--from", at, "-o"]
        yield Service(server.pid, lambda to: [*get, str(to)])


@contextmanager
def _nginx(setting: Setting) -> Iterator[Service]:
    nginx, curl = measure.tool("nginx", "nginx-light"), measure.tool("curl", "curl")
    scratch, place, port = setting.scratch, setting.place, measure.free_port()
    config = scratch / "nginx.conf"
    share = setting.data.parent
    config.write_text(NGINX.format(scratch=scratch, share=share, host=place.host, port=port))
    log = scratch / "nginx.log"
    command = [nginx, "-p", str(scratch), "-c", str(config), "-e", str(log)]
    url = f"http://{place.host}:{port}/{setting.data.name}"
    with _ready([*place.server, *command], log, port) as pid:
        yield Service(pid, lambda to: [curl, "-sSf", url, "-o", str(to)])


@contextmanager
def _rsync(setting: Setting, *options: str) -> Iterator[Service]:
    rsync = measure.tool("rsync", "rsync")
    scratch, place, port = setting.scratch, setting.place, measure.free_port()
    config = scratch / "rsyncd.conf"
    share = setting.data.parent
    config.write_text(RSYNCD.format(scratch=scratch, share=share, uid=os.getuid(), gid=os.getgid()))
    command = [rsync, "--daemon", "--no-detach", f"--config={config}"]
    command += [f"--address={place.host}", f"--port={port}"]
    url = f"rsync://{place.host}:{port}/share/{setting.data.name}"
    with _ready([*place.server, *command], scratch / "rsync.log", port) as pid:
        yield Service(pid, lambda to: [rsync, "-W", *options, url, str(to)])


def _rsync_sha1(setting: Setting) -> AbstractContextManager[Service]:
    return _rsync(setting, "--cc=sha1")


@contextmanager
def _aria2(setting: Setting) -> Iterator[Service]:
    aria2 = measure.tool("aria2c", "aria2")
    connections = [f"-x{ARIA_CONNECTIONS}", f"-s{ARIA_CONNECTIONS}", "-k1M"]
    command = [aria2, "-q", "--no-conf", *connections, "--file-allocation=falloc"]
    command += [f"--checksum=sha-1={setting.digest}"]
    with _nginx(setting) as (pid, curl):

        def fetch(to: Path) -> list[str]:
            url = curl(to)[2]
            return [*command, "-d", str(to.parent), "-o", to.name, url]

        yield Service(pid, fetch)


@contextmanager
def _libtorrent(setting: Setting) -> Iterator[Service]:
    if importlib.util.find_spec("libtorrent") is None:
        raise MissingError("libtorrent is missing: pip install libtorrent")
    scratch, place, port = setting.scratch, setting.place, measure.free_port()
    torrent = [sys.executable, str(Path(__file__).with_name("torrent.py"))]
    about = str(scratch / "about.torrent")
    at = f"{place.host}:{port}"
    command = [*place.server, *torrent, "seed", about, at, str(setting.data)]
    with _ready(command, scratch / "seed.log", port) as pid:
        yield Service(pid, lambda to: [*torrent, "leech", about, at, str(to)])


@contextmanager
def _ready(command: list[str], log: Path, port: int) -> Iterator[int]:
    """A server that listens; its process."""
    with measure.running(command, log) as server:
        measure.wait_until(lambda: measure.listening(server.pid, port), server)
        yield server.pid


WAYS = {
    "pirate": Way("pirate", _pirate),
    "curl": Way("nginx, curl", _nginx),
    "curl_sha1sum": Way("nginx, curl, sha1sum", _nginx, ("sha1sum",)),
    "curl_openssl": Way("nginx, curl, openssl", _nginx, ("openssl", "dgst", "-sha1")),
    "rsync_sha1": Way("rsync --cc=sha1", _rsync_sha1),
    "rsync_sha1sum": Way("rsync, sha1sum", _rsync, ("sha1sum",)),
    "aria2": Way(f"aria2, {ARIA_CONNECTIONS} connections", _aria2),
    "libtorrent": Way("libtorrent", _libtorrent),
}
