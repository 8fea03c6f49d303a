"""The arguments of every command. Values are read in ``config``, so errors are alike."""

import argparse
from typing import Any, NoReturn

from pirate import __version__
from pirate.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of printing the whole usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """See ``argparse``."""
        raise UsageError(message)


def parser() -> Parser:
    """The command line of docs/CLI.md."""
    top = Parser(
        prog="pirate",
        description="Share files between the machines of a network, peer to peer, by SHA-1.",
        epilog="`pirate COMMAND --help` tells more.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"pirate {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _serve(_add(commands, "serve", "share folders; runs until stopped"))
    _get(_add(commands, "get", "download, verify; return when the files are there"))
    _ls(_add(commands, "ls", "files in the whole network"))
    _info(_add(commands, "info", "one file: names, size, holders"))
    _network(_add(commands, "peers", "who is out there"))
    _hash(_add(commands, "hash", "SHA-1 of local files, in sha1sum's format"))
    return top


def _add(commands: Any, name: str, description: str) -> Parser:  # noqa: ANN401 - private class
    command: Parser = commands.add_parser(
        name, help=description, description=description, allow_abbrev=False
    )
    group = command.add_argument_group("output")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress, no remarks")
    group.add_argument("-v", "--verbose", action="count", default=0, help="more; twice: all")
    group.add_argument("--json", action="store_true", help="for scripts, see docs/schema/")
    group.add_argument("--color", metavar="WHEN", help="auto, always or never")
    group.add_argument("--config", metavar="FILE", help="instead of the usual places")
    return command


def _network(command: Parser) -> None:
    group = command.add_argument_group("network")
    group.add_argument(
        "--etcd", metavar="HOST:PORT", action="append", help="of its members; several: commas"
    )
    group.add_argument(
        "--peer", dest="peers", metavar="HOST:PORT", action="append", help="ask this peer too"
    )
    group.add_argument("--discovery", metavar="HOW", help="auto, etcd, static or none")
    group.add_argument("--timeout", metavar="TIME", help="for all of it, as in 500ms 10s 2m 1h")
    group.add_argument("--connect-timeout", metavar="TIME", help="for a connection (3s)")
    group.add_argument("--stall-timeout", metavar="TIME", help="without progress (10s)")


def _cached(command: Parser) -> None:
    command.add_argument("--refresh", action="store_true", help="do not use cached lists")


def _serve(command: Parser) -> None:
    command.add_argument("folders", metavar="DIR", nargs="*", help="this folder if none is given")
    command.add_argument("--listen", metavar="ADDR:PORT", help="port 0: any (0.0.0.0:7070)")
    command.add_argument("--advertise", metavar="ADDR[:PORT]", help="announce this instead")
    command.add_argument("--name", help="announce this instead of the host's name")
    command.add_argument("--port-file", metavar="FILE", help="write the port there once ready")
    command.add_argument("--rescan", metavar="TIME", help="between looks for changes (30s)")
    command.add_argument("--ttl", metavar="TIME", help="of the announcement's lease (15s)")
    command.add_argument("--drain", metavar="TIME", help="for running answers at the end (10s)")
    _network(command)


def _get(command: Parser) -> None:
    command.add_argument("refs", metavar="REF", nargs="*", help="SHA-1, or 8 digits of it or more")
    command.add_argument("-o", dest="output", metavar="PATH", help="write to PATH; - is stdout")
    command.add_argument("-d", dest="folder", metavar="DIR", default=".", help="into this folder")
    command.add_argument(
        "-i", dest="list", metavar="FILE", help="a list like sha1sum's; - is stdin"
    )
    command.add_argument(
        "--from", dest="only", metavar="HOST:PORT", action="append", help="only this peer"
    )
    command.add_argument(
        "--if-exists", metavar="WHAT", default="fail", help="fail, skip, overwrite or rename"
    )
    command.add_argument("--wait", metavar="TIME", help="until a holder appears")
    command.add_argument("--progress", metavar="HOW", help="auto, bar, plain or none")
    _network(command)


def _ls(command: Parser) -> None:
    command.add_argument("pattern", metavar="PATTERN", nargs="?", help="a glob, or a part")
    command.add_argument("--on", metavar="PEER", help="only what this peer has (name or address)")
    command.add_argument("--long", action="store_true", help="all names, all holders, all digits")
    command.add_argument("--sums", action="store_true", help="sha1sum's format, for get -i")
    _cached(command)
    _network(command)


def _info(command: Parser) -> None:
    command.add_argument("ref", metavar="REF", help="SHA-1, or 8 digits of it or more")
    _network(command)


def _hash(command: Parser) -> None:
    command.add_argument("files", metavar="FILE", nargs="+")
