"""The socket that a server listens on."""

import errno
import socket

from pirate.errors import BindError
from pirate.model import EVERYWHERE, IPV4_EVERYWHERE, Address

# A connect flood must find room to wait in: the usual backlog of 5 refuses honest clients.
BACKLOG = 4096

# What a kernel says that has no IPv6.
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


def listening(address: Address) -> socket.socket:
    """A socket that listens there; on every address it takes IPv4 and IPv6. BindError."""
    try:
        return _bound(address)
    except OSError as error:
        if address.host == EVERYWHERE and error.errno in _NO_IPV6:
            return listening(Address(IPV4_EVERYWHERE, address.port))
        raise BindError(f"cannot listen on {address}: {(error.strerror or '').lower()}") from error


def _bound(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            *address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise BindError(f"{address} is no address of ours") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.host == EVERYWHERE:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
