"""What the settings say of security: who is let in, and how the port is opened.

What verifies tokens and certificates is imported where a server asks for them: most do not, and it
is a hundred modules.
"""

from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import TYPE_CHECKING

import grpc

from vwed_grpc.process.background import keep_going
from vwed_grpc.process.listening import check_address
from vwed_grpc.process.renewal import follow
from vwed_grpc.process.stores import CannotServeError
from vwed_grpc.rpc.audit import Audit, open_audit
from vwed_grpc.rpc.authentication import Authentication
from vwed_grpc.settings import Settings

if TYPE_CHECKING:
    from vwed_grpc.rpc.certificates import Certificates
    from vwed_grpc.rpc.tokens import Tokens


def authentication(stack: AsyncExitStack, settings: Settings) -> Authentication:
    """Follows the file of keys until the stack is closed. Raises CannotServeError."""
    tokens = _tokens(settings)
    if tokens is not None:
        keep_going(stack, partial(follow, [tokens.keys_file], tokens.read))
    return Authentication(
        tokens,
        certificates=settings.tls_client_ca is not None,
        introspection_open=settings.introspection == "open",
    )


def audit(stack: AsyncExitStack, settings: Settings) -> Audit | None:
    """Written to until the stack is closed; None: off. Raises CannotServeError."""
    return _audit(stack.enter_context(ExitStack()), settings)


def check_files(settings: Settings) -> None:
    """Raises CannotServeError if a server with these settings would for their files."""
    _certificates(settings)
    _tokens(settings)
    with ExitStack() as stack:
        _audit(stack, settings)


def _audit(stack: ExitStack, settings: Settings) -> Audit | None:
    if settings.audit_log == "off":
        return None
    try:
        return open_audit(stack, settings.audit_log)
    except OSError as exc:
        raise CannotServeError(
            f"the audit log {settings.audit_log} cannot be written: {exc.strerror}"
        ) from exc


def open_port(stack: AsyncExitStack, server: grpc.aio.Server, settings: Settings) -> int:
    """Follows the certificates until the stack is closed. Raises CannotServeError."""
    if settings.worker is None:  # else its parent has looked
        check_address(settings)
    listen = settings.listen
    certificates = _certificates(settings)
    try:
        if certificates is None:
            return server.add_insecure_port(listen)
        port = server.add_secure_port(listen, certificates.credentials())
    except RuntimeError as exc:
        raise CannotServeError(f"cannot listen on {listen}") from exc
    keep_going(stack, partial(follow, certificates.files, certificates.read))
    return port


def _tokens(settings: Settings) -> "Tokens | None":
    if settings.token_keys is None:
        return None
    from vwed_grpc.rpc.token_keys import BadKeysError  # noqa: PLC0415 - see above
    from vwed_grpc.rpc.tokens import Tokens  # noqa: PLC0415 - see above

    try:
        return Tokens(
            settings.token_keys, audience=settings.token_audience, issuer=settings.token_issuer
        )
    except BadKeysError as exc:
        raise CannotServeError(f"the keys of tokens cannot be used: {exc}") from exc


def _certificates(settings: Settings) -> "Certificates | None":
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None or key is None:
        if certificate or key or settings.tls_client_ca:
            raise CannotServeError("TLS needs both --tls-cert and --tls-key")
        return None
    from vwed_grpc.rpc.certificates import (  # noqa: PLC0415 - see above
        BadCertificateError,
        Certificates,
    )

    try:
        return Certificates(certificate, key, settings.tls_client_ca)
    except BadCertificateError as exc:
        raise CannotServeError(f"TLS cannot be used: {exc}") from exc
