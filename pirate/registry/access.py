"""How etcd is reached beyond its address: certificates, and a user with a password."""

from dataclasses import dataclass, field
from pathlib import Path

from pirate.errors import UsageError


@dataclass(frozen=True, slots=True)
class Access:
    """The files of TLS, in PEM, and who we are to etcd; None for what is not wanted.

    Raises UsageError for a part without what belongs to it: certificate and key without a CA
    would silently be plain text, and a user without a password nobody.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for has, lacks, message in (
            (self.cert, self.ca, "--etcd-cert needs --etcd-ca FILE: there is no TLS without it"),
            (self.key, self.ca, "--etcd-key needs --etcd-ca FILE: there is no TLS without it"),
            (self.cert, self.key, "--etcd-cert needs --etcd-key FILE"),
            (self.key, self.cert, "--etcd-key needs --etcd-cert FILE"),
            (self.user, self.password, "--etcd-user needs a password in PIRATE_ETCD_PASSWORD"),
            (self.password, self.user, "PIRATE_ETCD_PASSWORD needs --etcd-user NAME"),
        ):
            if has and not lacks:
                raise UsageError(message)

    def pem(self) -> tuple[bytes, bytes | None, bytes | None]:
        """CA, key and certificate as they are in their files; UsageError if they are of no use.

        gRPC takes whatever it is given, and then no connection ever comes about.
        """
        import ssl  # noqa: PLC0415 - 11 ms, for those who use it

        ca = _read("--etcd-ca", self.ca or "")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=ca.decode())
        except (ssl.SSLError, ValueError) as error:
            raise UsageError(f"--etcd-ca: {self.ca} has no certificate in PEM") from error
        if not self.cert or not self.key:
            return ca, None, None
        cert, key = _read("--etcd-cert", self.cert), _read("--etcd-key", self.key)
        try:
            context.load_cert_chain(self.cert, self.key, password=lambda: b"")
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise UsageError(
                f"--etcd-cert, --etcd-key: {self.cert} and {self.key} are no certificate and its "
                "key in PEM, without a password"
            ) from error
        return ca, key, cert


PLAIN = Access()


def _read(flag: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{flag}: {path}: {(error.strerror or '').lower()}") from error
