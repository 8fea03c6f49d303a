"""Two BitTorrent peers, for the row of libtorrent.

usage: torrent.py seed ABOUT HOST:PORT FILE     serve FILE until stopped; ABOUT is the torrent
       torrent.py leech ABOUT HOST:PORT FILE    get it from there into FILE
"""

import signal
import sys
from pathlib import Path
from typing import Any

import libtorrent

ALERT_MS = 1000

# Nobody else is looked for, and nothing is encrypted: as bare as the others are.
SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": 2,
    "out_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": libtorrent.alert.category_t.error_notification
    | libtorrent.alert.category_t.status_notification
    | libtorrent.alert.category_t.storage_notification,
}


def session(listen: str) -> Any:  # noqa: ANN401 - libtorrent has no types
    return libtorrent.session(SETTINGS | {"listen_interfaces": listen})


def seed(about: Path, address: str, file: Path) -> None:
    """Listen once the torrent is made and seeded, until a signal comes."""
    storage = libtorrent.file_storage()
    libtorrent.add_files(storage, str(file))
    made = libtorrent.create_torrent(storage, flags=libtorrent.create_torrent.v1_only)
    libtorrent.set_piece_hashes(made, str(file.parent))
    about.write_bytes(libtorrent.bencode(made.generate()))
    peer = session(address)
    what = libtorrent.add_torrent_params()
    what.ti = libtorrent.torrent_info(str(about))
    what.save_path = str(file.parent)
    what.flags |= libtorrent.torrent_flags.seed_mode
    peer.add_torrent(what)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


def leech(about: Path, address: str, file: Path) -> None:
    """Get it, every piece verified, until all of it is written."""
    host, _, port = address.rpartition(":")
    peer = session("0.0.0.0:0")
    what = libtorrent.add_torrent_params()
    what.ti = libtorrent.torrent_info(str(about))
    what.ti.rename_file(0, file.name)
    what.save_path = str(file.parent)
    what.flags &= ~(libtorrent.torrent_flags.paused | libtorrent.torrent_flags.auto_managed)
    handle = peer.add_torrent(what)
    handle.connect_peer((host, int(port)))
    finished = False
    while True:
        peer.wait_for_alert(ALERT_MS)
        for alert in peer.pop_alerts():
            if isinstance(alert, libtorrent.torrent_finished_alert):
                handle.flush_cache()
                finished = True
            elif isinstance(alert, libtorrent.torrent_error_alert | libtorrent.file_error_alert):
                raise SystemExit(alert.message())
            elif finished and isinstance(alert, libtorrent.cache_flushed_alert):
                return


def main(role: str, about: str, address: str, file: str) -> None:
    {"seed": seed, "leech": leech}[role](Path(about), address, Path(file))


if __name__ == "__main__":
    main(*sys.argv[1:])
