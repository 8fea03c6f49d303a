"""What the user wants: flag, environment, configuration file, default, in this order."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pirate.errors import UsageError
from pirate.model import DEFAULT_PORT, EVERYWHERE, Address
from pirate.policy.rules import pattern
from pirate.registry.access import Access

if TYPE_CHECKING:
    from pirate.policy.near import Network

T = TypeVar("T")

ETCD_PORT = 2379

# Each costs a thread, a connection and a segment of memory.
MOST_HOLDERS = 64

# Files of a list at once: each has so many holders, and their buffers.
MOST_AT_ONCE = 16

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

# The kernel counts a socket's milliseconds in 31 bits, which is 596 hours.
LONGEST = 500 * 3600.0
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)([KMGT]?)", re.ASCII)

# Less may be taken for a stall (PROTOCOL.md, "Deadlines").
LEAST_RATE = 64 * 1024

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", re.ASCII)

# How a peer introduces itself is bounded on the wire (PROTOCOL.md, HELLO).
NODE_NAME_BYTES = 64


def duration(text: str) -> float:
    """``500ms``, ``10s``, ``2m``, ``1h`` or plain seconds; ValueError otherwise."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a duration, as in 500ms, 10s, 2m or 1h")
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    if seconds > LONGEST:
        raise ValueError(f"{text} is too long, 500h is the most")
    return seconds


def at_least(text_of_least: str) -> Callable[[str], float]:
    """A parser of durations that are not shorter than this one."""
    least = duration(text_of_least)

    def parse(text: str) -> float:
        seconds = duration(text)
        if seconds < least:
            raise ValueError(f"{text} is too short, {text_of_least} is the least")
        return seconds

    return parse


def size(text: str) -> int:
    """``64K``, ``1.5M``, ``10G`` or plain bytes; ValueError otherwise."""
    match = _SIZE.fullmatch(text.strip().upper())
    if not match:
        raise ValueError(f"{text!r} is not a size, as in 64K, 10M or 1G")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))


def rate(text: str) -> int:
    """Bytes a second, as a size. ValueError below 64K, which is a stall to the other side."""
    count = size(text)
    if count < LEAST_RATE:
        raise ValueError(f"{text} is too slow, 64K a second is the least")
    return count


def holders(text: str) -> int:
    """How many holders of one file to ask at once."""
    return _number(text, MOST_HOLDERS)


def files_at_once(text: str) -> int:
    """How many files of a list to download at once."""
    return _number(text, MOST_AT_ONCE)


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= most):
        raise ValueError(f"{text!r} is not a number from 1 to {most}")
    return int(text)


def remote(text: str) -> Address:
    """``HOST:PORT`` of a peer."""
    address = Address.parse(text)
    if not address.host or not address.port:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return address


def network(text: str) -> "Network":
    """``ADDRESS/BITS``: a network whose addresses are dialled though others name them."""
    import ipaddress  # noqa: PLC0415 - 4 ms that hardly anybody needs

    return ipaddress.ip_network(text.strip(), strict=False)


def etcd_endpoint(text: str) -> Address:
    """``HOST:PORT`` of an etcd member."""
    address = Address.parse(text, default_port=ETCD_PORT)
    if not address.host or not address.port:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return address


def local(text: str) -> Address:
    """``ADDR:PORT`` to listen on; ``:PORT`` is every address."""
    if text.isdecimal():  # the kernel would take it for an IPv4 address in one number
        raise ValueError(f"{text!r} is not ADDR:PORT; for every address write :{text}")
    address = Address.parse(text)
    return Address(address.host or EVERYWHERE, address.port)


def advertised(text: str) -> Address:
    """``ADDR[:PORT]`` to announce, numeric; port 0 stands for the one that is listened on."""
    import ipaddress  # noqa: PLC0415 - 4 ms that only serve --advertise needs

    address = Address.parse(text, default_port=0)
    ipaddress.ip_address(address.host)
    return address


def numeric(text: str) -> str:
    """A numeric address of an interface of ours."""
    import ipaddress  # noqa: PLC0415 - 4 ms that only --interface needs

    return str(ipaddress.ip_address(text.strip()))


def node_name(text: str) -> str:
    """A name for this node, at most 64 bytes."""
    if not text or len(text.encode()) > NODE_NAME_BYTES:
        raise ValueError(f"a name has 1 to {NODE_NAME_BYTES} bytes")
    return text


def yes_or_no(text: str) -> bool:
    """``yes`` or ``no``, ``true`` or ``false``, ``1`` or ``0``."""
    for value, words in ((True, ("yes", "true", "1")), (False, ("no", "false", "0"))):
        if text.strip().lower() in words:
            return value
    raise ValueError(f"{text!r} is neither yes nor no")


def parsed(parse: Callable[[str], T], text: str, where: str) -> T:
    """What ``parse`` makes of a text; UsageError, which says where it stood, if it cannot."""
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def one_of(*choices: str) -> Callable[[str], str]:
    """A parser that accepts these words only."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return parse


class Setting(NamedTuple):
    """How one setting is read. ``many``: a list; commas separate it in flags and variables."""

    parse: Callable[[str], Any]
    default: Any
    many: bool = False


SETTINGS: dict[str, Setting] = {
    "etcd": Setting(etcd_endpoint, (), many=True),
    "etcd_ca": Setting(str, None),
    "etcd_cert": Setting(str, None),
    "etcd_key": Setting(str, None),
    "etcd_user": Setting(str, None),
    "etcd_password": Setting(str, None),  # has no flag: arguments are seen by everybody
    "peers": Setting(remote, (), many=True),
    "networks": Setting(network, (), many=True),
    "discovery": Setting(one_of("auto", "etcd", "mdns", "static", "none"), "auto"),
    "interfaces": Setting(numeric, (), many=True),
    "timeout": Setting(at_least("1ms"), None),
    "state": Setting(str, None),
    "connect_timeout": Setting(at_least("1ms"), 3.0),
    "stall_timeout": Setting(at_least("1ms"), 10.0),
    "color": Setting(one_of("auto", "always", "never"), "auto"),
    "progress": Setting(one_of("auto", "bar", "plain", "none"), "auto"),
    "folders": Setting(str, (), many=True),
    "include": Setting(pattern, (), many=True),
    "exclude": Setting(pattern, (), many=True),
    "hidden": Setting(yes_or_no, False),
    "listen": Setting(local, Address(EVERYWHERE, DEFAULT_PORT)),
    "advertise": Setting(advertised, None),
    "name": Setting(node_name, None),
    "port_file": Setting(str, None),
    "rescan": Setting(at_least("100ms"), None),
    "watch": Setting(yes_or_no, default=True),
    "ttl": Setting(at_least("1s"), 15.0),
    "drain": Setting(duration, 10.0),
    "limit_up": Setting(rate, None),
    "limit_down": Setting(rate, None),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, read and checked. Durations in seconds; ``timeout`` None is none.

    ``rescan`` None is as often as it is needed.

    ``state`` is a folder, or empty for none.
    """

    etcd: tuple[Address, ...]
    etcd_ca: str | None
    etcd_cert: str | None
    etcd_key: str | None
    etcd_user: str | None
    etcd_password: str | None = field(repr=False)
    peers: tuple[Address, ...]
    networks: "tuple[Network, ...]"
    discovery: str
    interfaces: tuple[str, ...]
    timeout: float | None
    state: str
    connect_timeout: float
    stall_timeout: float
    color: str
    progress: str
    folders: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    hidden: bool
    listen: Address
    advertise: Address | None
    name: str | None
    port_file: str | None
    rescan: float | None
    watch: bool
    ttl: float
    drain: float
    limit_up: int | None
    limit_down: int | None

    @property
    def access(self) -> Access:
        """How etcd is reached beyond its address; UsageError if parts of it are missing."""
        return Access(
            self.etcd_ca, self.etcd_cert, self.etcd_key, self.etcd_user, self.etcd_password
        )


def load(flags: Mapping[str, Any], environ: Mapping[str, str], file: str | None) -> Settings:
    """Read all settings; UsageError names the flag, variable or line that is wrong."""
    path, table = _file(file, environ)
    values: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        flag, variable = "--" + name.replace("_", "-"), "PIRATE_" + name.upper()
        if flags.get(name) not in (None, []):  # [] is no DIR at all
            values[name] = _read(
                setting, flags[name], flag.removesuffix("s") if setting.many else flag
            )
        elif environ.get(variable):
            values[name] = _read(setting, environ[variable], variable)
        elif name in table:
            values[name] = _read(setting, table[name], f"{path}: {name}")
        else:
            values[name] = setting.default
    if values["state"] is None:
        values["state"] = _state_folder(environ)
    return Settings(**values)


def _read(setting: Setting, raw: object, where: str) -> object:
    if not setting.many:
        return parsed(setting.parse, str(raw), where)
    texts = [str(text) for text in (raw if isinstance(raw, list) else [raw])]
    if setting.parse is not str:
        texts = [part for text in texts for part in text.split(",") if part.strip()]
    return tuple(parsed(setting.parse, text, where) for text in texts)


def _state_folder(environ: Mapping[str, str]) -> str:
    """Where programs of this user keep what they find again, and ours among them."""
    home, folder = environ.get("HOME", ""), environ.get("XDG_STATE_HOME", "")
    if not folder.startswith("/"):
        folder = f"{home}/.local/state" if home.startswith("/") else ""
    return folder and f"{folder}/pirate"


def _file(named: str | None, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The first configuration file that there is, and what it says."""
    home = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    named = named or environ.get("PIRATE_CONFIG")
    for path in [named] if named else [f"{home}/pirate/config.toml", "/etc/pirate/config.toml"]:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            if named:
                raise UsageError(f"{path}: {(error.strerror or '').lower()}") from error
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: {error}") from error
        return path, _table(path, text)
    return "", {}


def file_in_use(named: str | None, environ: Mapping[str, str]) -> str:
    """The configuration file that ``load`` reads; empty if there is none."""
    return _file(named, environ)[0]


def _table(path: str, text: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - most runs have no configuration file

    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: {error}") from error
    table = {key.replace("-", "_"): value for key, value in table.items()}
    if unknown := sorted(set(table) - set(SETTINGS)):
        raise UsageError(f"{path}: {unknown[0]!r} is no setting")
    return table
