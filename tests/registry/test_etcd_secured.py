"""An etcd that speaks TLS and knows its users."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from etcd3 import Endpoint, MultiEndpointEtcd3Client, etcdrpc
from etcd_server import CERTIFICATES, EtcdServer
from processes.peers import nobody, one_line, pirate
from registry.rigs import SOON, announcement, until

from pirate.deadline import Deadline
from pirate.errors import DeniedError, RegistryError, UsageError
from pirate.registry.access import Access
from pirate.registry.etcd import PREFIX, EtcdRegistry
from pirate.roster import Heartbeat, Roster
from pirate.scope import Scope

OURS = announcement(1)
CA, CERT, KEY = (str(CERTIFICATES / name) for name in ("ca.pem", "peer.pem", "peer.key"))
OTHER_CA, OTHER_KEY = (str(CERTIFICATES / name) for name in ("other.pem", "etcd.key"))
SECURED = Access(CA, CERT, KEY)

PASSWORD = "correct horse"
USER = Access(user="pirate", password=PASSWORD)


@pytest.fixture
def handles() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


# TLS


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path_factory.mktemp("secured"), tls=True) as server:
        yield server


def test_with_the_right_certificates_we_are_announced(secured: EtcdServer) -> None:
    with closing(EtcdRegistry((secured.address,), access=SECURED)) as registry:
        registry.announce(OURS, Deadline(SOON))
        assert [peer.name for peer in registry.peers(Deadline(SOON))] == ["n1"]
        registry.withdraw(Deadline(SOON))


@pytest.mark.parametrize(
    ("access", "why"),
    [
        (Access(OTHER_CA, CERT, KEY), "its certificate is not by --etcd-ca"),
        (Access(CA), "no answer from etcd"),  # it wants a certificate of ours
        (Access(), "no answer from etcd"),
    ],
    ids=["another CA", "no certificate", "no TLS"],
)
def test_with_the_wrong_ones_every_call_fails_and_tells_why(
    secured: EtcdServer, handles: ExitStack, access: Access, why: str
) -> None:
    registry = handles.enter_context(closing(EtcdRegistry((secured.address,), access=access)))
    with pytest.raises(RegistryError, match=why):
        registry.announce(OURS, Deadline(3.0))


def test_tls_to_an_etcd_without_it_fails_and_tells_what_to_look_at(
    etcd: EtcdServer, handles: ExitStack
) -> None:
    registry = handles.enter_context(closing(EtcdRegistry((etcd.address,), access=SECURED)))
    with pytest.raises(RegistryError, match="TLS fails; look at --etcd-ca"):
        registry.peers(Deadline(3.0))


@pytest.mark.parametrize(
    ("access", "told"),
    [
        (Access(f"{CA}.gone"), "--etcd-ca: .*gone: no such file"),
        (Access(CA, f"{CERT}.gone", KEY), "--etcd-cert: .*gone: no such file"),
        (Access(CA, CERT, f"{KEY}.gone"), "--etcd-key: .*gone: no such file"),
        (Access(KEY), "--etcd-ca: .* no certificate in PEM"),
        (Access("/bin/sh"), "--etcd-ca: .* no certificate in PEM"),
        (Access(CA, CERT, OTHER_KEY), "are no certificate and its key"),
        (Access(CA, KEY, CERT), "are no certificate and its key"),
    ],
)
def test_files_that_cannot_be_used_are_told_at_once(access: Access, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        EtcdRegistry((nobody(),), access=access)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it() -> None:
    with pytest.raises(UsageError, match="without a password"):
        EtcdRegistry((nobody(),), access=Access(CA, CERT, str(CERTIFICATES / "locked.key")))


def test_commands_take_the_files_as_flags(secured: EtcdServer) -> None:
    flags = ("--etcd", secured.address, "--etcd-ca", CA, "--etcd-cert", CERT, "--etcd-key", KEY)
    assert pirate("peers", *flags).code == 0
    wrong = pirate("peers", *flags[:-2])
    assert (wrong.code, one_line(wrong, "usage")) == (2, True)


# Users


class Root:
    """The operator of an etcd that knows its users."""

    def __init__(self, server: EtcdServer) -> None:
        endpoint = Endpoint(*server.address, secure=False)
        self._client: Any = MultiEndpointEtcd3Client([endpoint], timeout=SOON)
        self._secured = False

    def introduce(self) -> None:
        """Make root and the user of pirates, who may only have our keys, and demand a login."""
        for name, role in (("root", "root"), ("pirate", "pirates")):
            self.call("UserAdd", "AuthUserAddRequest", name=name, password=PASSWORD)
            self.call("RoleAdd", "AuthRoleAddRequest", name=role)
            self.call("UserGrantRole", "AuthUserGrantRoleRequest", user=name, role=role)
        self.grant()
        self.call("AuthEnable", "AuthEnableRequest")
        self._secured = True

    def grant(self, prefix: str = PREFIX) -> None:
        """Let pirates read and write what begins with ``prefix``, too."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        permission = {"permType": 2, "key": prefix.encode(), "range_end": end.encode()}
        self.call(
            "RoleGrantPermission", "AuthRoleGrantPermissionRequest", name="pirates", perm=permission
        )

    def call(self, method: str, request: str, **fields: object) -> None:
        message = getattr(etcdrpc, request)(**fields)
        getattr(self._client.authstub, method)(message, SOON, metadata=self._metadata())

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """Who calls. A token is a second old at most."""
        if not self._secured:
            return ()
        login = etcdrpc.AuthenticateRequest(name="root", password=PASSWORD)
        return (("token", self._client.authstub.Authenticate(login, SOON).token),)

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd that wants a user, and whose tokens live for a second."""
    with EtcdServer(tmp_path, "--bcrypt-cost=4", "--auth-token-ttl=1") as server:
        yield server


@pytest.fixture
def root(guarded: EtcdServer) -> Iterator[Root]:
    with closing(Root(guarded)) as root:
        root.introduce()
        yield root


@pytest.fixture
def ours(guarded: EtcdServer, root: Root, handles: ExitStack) -> EtcdRegistry:  # noqa: ARG001
    return handles.enter_context(closing(EtcdRegistry((guarded.address,), access=USER)))


def works(registry: EtcdRegistry) -> bool:
    registry.announce(OURS, Deadline(SOON))
    return [peer.name for peer in registry.peers(Deadline(SOON))] == ["n1"]


def test_who_logs_in_is_announced(ours: EtcdRegistry) -> None:
    assert works(ours)


@pytest.mark.usefixtures("root")
def test_a_dead_member_does_not_keep_us_from_logging_in_at_another(
    guarded: EtcdServer, handles: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.choice", lambda members: members[0])  # where clients begin
    registry = EtcdRegistry((nobody(), guarded.address), access=USER)
    handles.callback(registry.close)
    assert works(registry)


def test_a_token_that_has_run_out_is_replaced(ours: EtcdRegistry) -> None:
    assert works(ours)
    time.sleep(2.5)  # the clock of etcd is its own
    assert works(ours)


def test_a_token_of_before_a_restart_or_a_change_of_rights_is_replaced(
    guarded: EtcdServer, root: Root, ours: EtcdRegistry
) -> None:
    assert works(ours)
    root.grant("/elsewhere/")
    assert works(ours)
    guarded.restart()
    assert works(ours)


def test_an_etcd_that_was_wiped_and_knows_no_users_any_more_has_us_again(
    guarded: EtcdServer, ours: EtcdRegistry
) -> None:
    assert works(ours)
    guarded.restart_empty()
    assert works(ours)
    with closing(Root(guarded)) as again:
        again.introduce()
    assert works(ours)


@pytest.mark.parametrize(
    "access",
    [Access(user="pirate", password="wrong"), Access(user="nobody", password=PASSWORD), Access()],
    ids=["wrong password", "unknown user", "no user"],
)
@pytest.mark.usefixtures("root")
def test_who_is_denied_is_told_so_at_once(guarded: EtcdServer, access: Access) -> None:
    began = time.monotonic()
    with closing(EtcdRegistry((guarded.address,), access=access)) as registry:
        with pytest.raises(DeniedError):
            registry.peers(Deadline(SOON))
        with pytest.raises(DeniedError):
            registry.announce(OURS, Deadline(SOON))
    assert time.monotonic() - began < SOON / 2


def test_keys_that_the_role_does_not_have_are_denied(
    guarded: EtcdServer, ours: EtcdRegistry, handles: ExitStack
) -> None:
    assert works(ours)
    other = EtcdRegistry((guarded.address,), access=USER, prefix="/other/")
    handles.callback(other.close)
    with pytest.raises(DeniedError, match="denies the user pirate"):
        other.peers(Deadline(SOON))


@pytest.mark.usefixtures("root")
def test_a_heartbeat_that_is_denied_does_not_hammer_etcd(
    guarded: EtcdServer, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    class Counted(EtcdRegistry):
        def announce(self, *args: Any) -> None:
            calls.append(args)
            super().announce(*args)

    registry = Counted((guarded.address,), access=Access(user="pirate", password="wrong"))
    heartbeat = Heartbeat(registry, Roster(registry), lambda: OURS, 60.0)
    with caplog.at_level(logging.WARNING), Scope() as scope:
        scope.spawn("heartbeat", lambda: heartbeat.run(scope.stop))
        assert until(lambda: bool(caplog.messages))
        time.sleep(1.5)
    assert len(calls) == 1
    (told,) = caplog.messages
    assert "the password of the user pirate" in told


@pytest.mark.usefixtures("root")
def test_commands_log_in_and_a_wrong_password_is_exit_code_10(guarded: EtcdServer) -> None:
    words = ("peers", "--etcd", guarded.address, "--etcd-user", "pirate")
    assert pirate(*words, PIRATE_ETCD_PASSWORD=PASSWORD).code == 0
    denied = pirate(*words, "-vv", PIRATE_ETCD_PASSWORD="rumpelstiltskin")
    assert denied.code == 10
    assert "rumpelstiltskin" not in denied.err + denied.out
    assert one_line(pirate(*words, PIRATE_ETCD_PASSWORD="wrong"), "denied")
