"""The arguments of every command. Values are read in ``config``, so errors are alike."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from pirate import __version__
from pirate.errors import UsageError

COMMANDS = ("serve", "get", "ls", "info", "peers", "status", "doctor", "hash", "verify")

# The operands of those commands that take any number.
OPERANDS = {
    "serve": "folders",
    "get": "refs",
    "status": "addresses",
    "hash": "files",
    "verify": "folders",
}

_EXAMPLES = """\
examples:
  pirate serve /data --etcd 10.0.0.1:2379    share a folder
  export PIRATE_ETCD=10.0.0.1:2379           instead of --etcd each time
  pirate ls '*.iso'                          what is there to get
  pirate get 3f786850 -d /tmp                get it, by SHA-1 or 8 digits of it
  pirate ls --peer 10.0.0.7:7070             in another network: name a peer

`pirate COMMAND --help` tells more."""

_SERVE_EXAMPLES = """\
examples:
  pirate serve /data /srv/images --etcd 10.0.0.1:2379
  pirate serve --listen 127.0.0.1:0 --port-file port      ready when it is there

SIGINT and SIGTERM end it, a second one at once; SIGHUP has it look at the
folders now."""

_GET_EXAMPLES = """\
examples:
  pirate get 3f786850b387550fdab836ed7e6dc881de23001b
  pirate get -q 3f786850 -o - | tar x                    while it comes
  pirate ls --sums 'src/*' | pirate get -i - -d copy     a whole folder
  pirate get 3f786850 -o head --range 0-1023             its first KiB

What has arrived when it is broken off is kept, and the same command goes on
from there. A range is proven under a chain of hashes that its holders vouch
for; only the whole file is proven by its SHA-1."""

_LS_EXAMPLES = """\
examples:
  pirate ls                      all there is
  pirate ls '*.iso'              a glob, on whole names or their last part
  pirate ls images/              a part of the name
  pirate ls --on n3 --sums       a list for `pirate get -i` and `sha1sum -c`"""

# Wide enough for "--connect-timeout TIME" beside its help.
_HELP_COLUMN = 27


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of printing the whole usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """See ``argparse``."""
        raise UsageError(message.replace("the following arguments are required:", "missing:"))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Examples stay as they are written; flags and their help share a line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=_HELP_COLUMN)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What a command line says; its operands may stand between flags. Raises UsageError."""
    top = parser()
    arguments, rest = top.parse_known_args(words)
    # Behind the first flag that follows an operand argparse does not know what operands are.
    end = rest.index("--") if "--" in rest else len(rest)
    operands = OPERANDS.get(arguments.command)
    if rest and (operands is None or any(_is_flag(word) for word in rest[:end])):
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    if operands:
        getattr(arguments, operands).extend(rest[:end] + rest[end + 1 :])
    return arguments


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-"


def parser() -> Parser:
    """The command line of docs/CLI.md."""
    top = Parser(
        prog="pirate",
        usage="pirate COMMAND [OPTION]...",
        description="Share files between the machines of a network, peer to peer, by SHA-1.",
        epilog=_EXAMPLES,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"pirate {__version__}")
    commands = top.add_subparsers(
        dest="command", title="commands", metavar="COMMAND", prog="pirate", required=True
    )
    _serve(_add(commands, "serve [DIR]...", "share folders; runs until stopped", _SERVE_EXAMPLES))
    _get(_add(commands, "get REF...", "download and verify files", _GET_EXAMPLES))
    _ls(_add(commands, "ls [PATTERN]", "list the files of the whole network", _LS_EXAMPLES))
    _info(_add(commands, "info REF", "show one file: names, size, holders"))
    _peers(_add(commands, "peers", "show who is out there, and who answers"))
    _status(_add(commands, "status [HOST:PORT]...", "show how the serve of this machine is"))
    _doctor(_add(commands, "doctor", "look for what is wrong with this machine's set-up"))
    _hash(_add(commands, "hash FILE...", "print the SHA-1 of local files, as sha1sum does"))
    _verify(_add(commands, "verify [DIR]...", "read what we share again, and say what has rotted"))
    return top


def _add(commands: Any, synopsis: str, description: str, examples: str = "") -> Parser:  # noqa: ANN401 - private class
    name, _, operands = synopsis.partition(" ")
    command: Parser = commands.add_parser(
        name,
        usage=f"pirate {name} [OPTION]... {operands}".rstrip(),
        help=description,
        description=f"{description[0].upper()}{description[1:]}.",
        epilog=examples,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    return command


def _output(command: Parser) -> None:
    group = command.add_argument_group("output")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress, no remarks")
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more; -vv: all")
    group.add_argument("--json", action="store_true", help="for scripts; see docs/schema/")
    group.add_argument("--color", metavar="WHEN", help="auto, always or never (auto)")
    group.add_argument(
        "--config", metavar="FILE", help="read settings here instead of the usual places"
    )


def _network(command: Parser) -> None:
    group = command.add_argument_group("network")
    group.add_argument(
        "--etcd", metavar="HOST:PORT", action="append", help="find peers here too; commas between"
    )
    group.add_argument("--etcd-ca", metavar="FILE", help="its CA in PEM: speak TLS with it")
    group.add_argument("--etcd-cert", metavar="FILE", help="our certificate for it, in PEM")
    group.add_argument("--etcd-key", metavar="FILE", help="the certificate's key")
    group.add_argument(
        "--etcd-user", metavar="NAME", help="the password is in PIRATE_ETCD_PASSWORD"
    )
    group.add_argument(
        "--peer", dest="peers", metavar="HOST:PORT", action="append", help="ask this peer too"
    )
    group.add_argument(
        "--network",
        dest="networks",
        metavar="CIDR",
        action="append",
        help="dial peers announced there, too",
    )
    group.add_argument("--discovery", metavar="HOW", help="auto, etcd, mdns, static or none (auto)")
    group.add_argument(
        "--interface",
        dest="interfaces",
        metavar="ADDR",
        action="append",
        help="use mDNS on this address of ours only (all)",
    )
    group.add_argument(
        "--state", metavar="DIR", help="remember peers there (~/.local/state/pirate)"
    )
    group.add_argument(
        "--timeout", metavar="TIME", help="give up after it, as in 500ms 10s 2m 1h (never)"
    )
    group.add_argument(
        "--connect-timeout", metavar="TIME", help="for one connection to be made (3s)"
    )
    group.add_argument(
        "--stall-timeout", metavar="TIME", help="for a peer that sends nothing (10s)"
    )


def _sharing(command: Parser) -> None:
    command.add_argument(
        "--include", metavar="GLOB", action="append", help="share only such files; commas between"
    )
    command.add_argument(
        "--exclude", metavar="GLOB", action="append", help="share no such files or folders"
    )
    command.add_argument("--hidden", action="store_true", default=None, help="share those, too")


def _asking(command: Parser) -> None:
    command.add_argument(
        "--refresh", action="store_true", help="ask no serve of this machine, use no cached lists"
    )
    _network(command)


def _serve(command: Parser) -> None:
    command.add_argument(
        "folders", metavar="DIR", nargs="*", help="the configured ones, or this folder, if none"
    )
    _sharing(command)
    command.add_argument(
        "--listen", metavar="ADDR:PORT", help="port 0 takes a free one ([::]:7070)"
    )
    command.add_argument("--advertise", metavar="ADDR[:PORT]", help="announce this address instead")
    command.add_argument("--name", help="announce this name instead of the host's")
    command.add_argument("--port-file", metavar="FILE", help="write the port there once ready")
    command.add_argument(
        "--rescan", metavar="TIME", help="between looks at all files (5m; 30s if unwatched)"
    )
    command.add_argument(
        "--no-watch",
        dest="watch",
        action="store_const",
        const="no",
        help="look for changes on the timer alone",
    )
    command.add_argument("--ttl", metavar="TIME", help="until others forget us if we vanish (15s)")
    command.add_argument("--limit-up", metavar="RATE", help="a second, for all, as in 500K 10M 1G")
    command.add_argument("--drain", metavar="TIME", help="for running answers at the end (10s)")
    _network(command)
    _output(command)


def _get(command: Parser) -> None:
    command.add_argument(
        "refs", metavar="REF", nargs="*", help="SHA-1, 8 digits of it or more, urn: or magnet:"
    )
    command.add_argument("-o", dest="output", metavar="PATH", help="write to PATH; - is stdout")
    command.add_argument("-d", dest="folder", metavar="DIR", default=".", help="write into DIR (.)")
    command.add_argument(
        "-i", dest="list", metavar="FILE", help="get what this list names; - is stdin"
    )
    command.add_argument(
        "--from", dest="only", metavar="HOST:PORT", action="append", help="only from this peer"
    )
    command.add_argument(
        "--if-exists",
        metavar="WHAT",
        default="fail",
        help="other content there: fail, skip, overwrite or rename (fail)",
    )
    command.add_argument(
        "-s", dest="holders", metavar="N", default="8", help="holders to ask at once (8)"
    )
    command.add_argument(
        "-j", dest="at_once", metavar="N", default="3", help="large files at once (3)"
    )
    command.add_argument("--limit-down", metavar="RATE", help="a second, as in 500K 10M 1G (none)")
    command.add_argument(
        "--range", metavar="A-B", help="bytes A to B of it, A- or the last -N; needs -o"
    )
    command.add_argument("--wait", metavar="TIME", help="for a holder to appear")
    command.add_argument("--progress", metavar="HOW", help="auto, bar, plain or none (auto)")
    _asking(command)
    _output(command)


def _ls(command: Parser) -> None:
    command.add_argument("pattern", metavar="PATTERN", nargs="?", help="a glob, or a part")
    command.add_argument("--on", metavar="PEER", help="only what it has (name or HOST:PORT)")
    command.add_argument("--long", action="store_true", help="all names, all holders, all bytes")
    command.add_argument("--sums", action="store_true", help="sha1sum's format, for get -i")
    _asking(command)
    _output(command)


def _info(command: Parser) -> None:
    command.add_argument(
        "ref", metavar="REF", help="SHA-1, 8 digits of it or more, urn: or magnet:"
    )
    _asking(command)
    _output(command)


def _peers(command: Parser) -> None:
    _asking(command)
    _output(command)


def _status(command: Parser) -> None:
    command.add_argument(
        "addresses", metavar="HOST:PORT", nargs="*", help="of this machine, instead of our own"
    )
    command.add_argument(
        "--check", action="store_true", help="say nothing; exit code 0 if it is ready"
    )
    command.add_argument("--state", metavar="DIR", help="that of the serve (~/.local/state/pirate)")
    _output(command)


def _doctor(command: Parser) -> None:
    command.add_argument(
        "--listen", metavar="ADDR:PORT", help="where serve would listen ([::]:7070)"
    )
    command.add_argument("--advertise", metavar="ADDR[:PORT]", help="what serve would announce")
    _network(command)
    _output(command)


def _hash(command: Parser) -> None:
    command.add_argument("files", metavar="FILE", nargs="+")
    command.add_argument(
        "--state", metavar="DIR", help="remember digests there (~/.local/state/pirate)"
    )
    _output(command)


def _verify(command: Parser) -> None:
    command.add_argument(
        "folders", metavar="DIR", nargs="*", help="the configured ones, or this folder, if none"
    )
    _sharing(command)
    command.add_argument(
        "--restart", action="store_true", help="do not go on where the last one was broken off"
    )
    command.add_argument("--progress", metavar="HOW", help="auto, bar, plain or none (auto)")
    command.add_argument(
        "--state", metavar="DIR", help="the digests are remembered there (~/.local/state/pirate)"
    )
    _output(command)
