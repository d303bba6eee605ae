"""The server's certificate and key, and the authorities of its clients, which may be renewed."""

from collections import deque
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates


class BadCertificateError(ValueError):
    """Why the files cannot be used."""


class Certificates:
    """What is shown in handshakes, and asked for: the newest of the files that was good.

    Connections that stand go on with what they began with.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        """Reads the files. Raises BadCertificateError."""
        self.files = [certificate, key, *([client_ca] if client_ca else [])]
        self._renewed: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)
        self._asks_clients = client_ca is not None
        self._first = self._configuration()

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._renewal,  # type: ignore[arg-type]  # None is documented: nothing is new
            require_client_authentication=self._asks_clients,
        )

    def read(self) -> None:
        """Reads the files anew, for the handshakes to come. Raises BadCertificateError."""
        self._renewed.append(self._configuration())

    def _renewal(self) -> grpc.ServerCertificateConfiguration | None:
        # Once a handshake, on a thread of gRPC's: files are read elsewhere.
        try:
            return self._renewed.popleft()
        except IndexError:
            return None

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        try:
            certificate, key, *authorities = (path.read_bytes() for path in self.files)
        except OSError as exc:
            raise BadCertificateError(f"{exc.filename} cannot be read: {exc.strerror}") from exc
        shown, secret, *asked = self.files
        leaf = _certificates(shown, certificate)[0]
        try:
            private = load_pem_private_key(key, password=None)
        except (ValueError, TypeError):  # its text may be of the key
            raise BadCertificateError(f"{secret} is no private key in PEM") from None
        if private.public_key() != leaf.public_key():  # also while only one of them is renewed
            raise BadCertificateError(f"{secret} is not the key of {shown}")
        for path, authority in zip(asked, authorities, strict=True):
            _certificates(path, authority)
        return grpc.ssl_server_certificate_configuration(
            [(key, certificate)], root_certificates=authorities[0] if authorities else None
        )


def _certificates(path: Path, raw: bytes) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(raw)
    except ValueError as exc:
        raise BadCertificateError(f"{path} is no certificate in PEM") from exc
