"""The address of a server: whether it may be listened on, and whether somebody else does."""

import errno
import socket
from ipaddress import ip_address
from typing import Any

import structlog

from vwed_grpc.process.stores import CannotServeError
from vwed_grpc.settings import Settings

log = structlog.get_logger("vwed")


def check_address(settings: Settings) -> None:
    """Raises CannotServeError unless a server may and can listen where it is told to.

    gRPC itself would say less, in its own log as well, and is content with one of the addresses
    that a name has.
    """
    listen = settings.listen
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not _is_loopback(host) and (lacking := _lacking(settings)):
        if not settings.insecure:
            raise CannotServeError(
                f"{listen} is not a loopback address: without {lacking} that needs --insecure"
            )
        log.warning("listening beyond loopback", address=listen, without=lacking)
    try:
        found = socket.getaddrinfo(
            host or None,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV,
        )
    except OSError as exc:
        raise CannotServeError(f"cannot listen on {listen}: {exc.strerror}") from exc
    for family, _, _, _, address in found:
        _try(listen, family, address)


def _try(listen: str, family: int, address: tuple[Any, ...]) -> None:
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Without SO_REUSEPORT this fails even where another server would share its port.
            probe.bind(address)
            probe.listen()
    except OSError as exc:
        if exc.errno in {errno.EADDRINUSE, errno.EACCES}:  # else gRPC may have a way of its own
            raise CannotServeError(f"cannot listen on {listen}: {exc.strerror}") from exc


def _lacking(settings: Settings) -> str:
    """What a server beyond loopback should have and has not. Tokens need TLS: they are secrets."""
    has = {
        "TLS": settings.tls_cert is not None,
        "authentication": (settings.token_keys or settings.tls_client_ca) is not None,
    }
    return " and ".join(name for name, there in has.items() if not there)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
