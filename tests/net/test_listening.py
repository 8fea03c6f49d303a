import contextlib
import errno
import socket

import pytest
from honest import SOON

from pirate.errors import BindError
from pirate.model import EVERYWHERE, IPV4_EVERYWHERE, Address
from pirate.net.listening import listening


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def test_every_address_is_ipv4_and_ipv6() -> None:
    with listening(Address(EVERYWHERE, 0)) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",):
            socket.create_connection((host, port), SOON).close()


def test_a_kernel_without_ipv6_gives_every_ipv4_address(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int = socket.AF_INET, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    with listening(Address(EVERYWHERE, 0)) as listener:
        assert listener.family == socket.AF_INET
        assert listener.getsockname()[0] == IPV4_EVERYWHERE


def test_a_port_that_is_taken_is_told_and_not_taken_for_a_lack_of_ipv6() -> None:
    with (
        listening(Address(EVERYWHERE, 0)) as taken,
        pytest.raises(BindError, match="in use"),
    ):
        listening(Address(EVERYWHERE, taken.getsockname()[1]))
