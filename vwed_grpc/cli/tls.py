"""The TLS of a client, from the files that its options name."""

import ssl
from pathlib import Path

import click
import grpc

from vwed_grpc.settings import Settings


def credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """None: without TLS.

    Raises click.ClickException. Of files that cannot be, gRPC itself would say nothing that helps,
    or end the process.
    """
    authorities, certificate, key = settings.tls_ca, settings.client_cert, settings.client_key
    if (certificate is None) is not (key is None):
        raise click.ClickException("a client's TLS needs both --client-cert and --client-key")
    if not (settings.tls or authorities or certificate):
        return None
    files = (authorities, key, certificate)
    contents = [None if path is None else read(path) for path in files]
    if authorities:
        _check_certificate(authorities)
    if certificate and key:
        _check_certificate(certificate)
        _check_key(certificate, key)
    return grpc.ssl_channel_credentials(*contents)


def read(path: Path) -> bytes:
    """What is in a file. Raises click.ClickException."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise click.ClickException(f"{path} cannot be read: {exc.strerror}") from exc


def _check_certificate(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as exc:
        raise click.ClickException(f"{path} is no certificate in PEM") from exc


def _check_key(certificate: Path, key: Path) -> None:
    try:
        # With a password it does not ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as exc:
        is_other = exc.reason == "KEY_VALUES_MISMATCH"
        what = f"is not the key of {certificate}" if is_other else "is no private key in PEM"
        raise click.ClickException(f"{key} {what}") from exc
