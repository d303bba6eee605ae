"""Who calls, and whether they may: before a request is read, or anything else is said."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.descriptor import MethodDescriptor

from vwed_grpc.domain.errors import PermissionDenied, Unauthenticated
from vwed_grpc.rpc.call import Call, is_actor
from vwed_grpc.rpc.call_classes import may_wait
from vwed_grpc.rpc.expiry import Expiry
from vwed_grpc.rpc.scopes import ACTOR_SET, of_tenants, scopes_of

if TYPE_CHECKING:
    from vwed_grpc.rpc.tokens import Tokens

AUTHORIZATION = "authorization"

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
Guard: TypeAlias = Callable[[Call, Metadata, Any], None]
"""Names a call's actor, from its metadata and context.

Raises Unauthenticated or PermissionDenied.
"""


class Authentication:
    """Tells who calls by a token, else, where the server asks for them, by a certificate.

    A certificate's holder has all tenants and scopes: what it is asked for beside tokens is only
    that the caller is one of ours.
    """

    def __init__(
        self,
        tokens: "Tokens | None" = None,
        *,
        certificates: bool = False,
        introspection_open: bool = True,
    ) -> None:
        self._tokens = tokens
        self._certificates = certificates
        self._introspection_open = introspection_open

    def guard(self, method: MethodDescriptor) -> Guard | None:
        """What each call of the RPC has to pass; None: nothing.

        Raises LookupError if nobody has said which scopes it needs.
        """
        needed = scopes_of(method)
        tenants = of_tenants(method)
        if not needed or (self._introspection_open and not tenants):
            return None
        if self._tokens is not None:
            return _by_token(self._tokens, needed, tenants=tenants, waits=may_wait(method))
        return _by_certificate if self._certificates else None


def _by_token(tokens: "Tokens", needed: Sequence[str], *, tenants: bool, waits: bool) -> Guard:
    def guard(call: Call, metadata: Metadata, _: Any) -> None:
        claimed, call.actor = call.actor, ""  # nobody's, as long as the token is not good
        identity = tokens.identity(_authorization(metadata))
        may_claim = claimed and ACTOR_SET in identity.scopes
        call.actor = claimed if may_claim else identity.subject
        if tenants and not identity.has_tenant(call.tenant):
            raise PermissionDenied(
                "TENANT_NOT_ALLOWED",
                f"the token does not list the tenant {call.tenant}",
                metadata={"tenant": call.tenant},
            )
        if identity.scopes.isdisjoint(needed):
            raise PermissionDenied(
                "SCOPE_MISSING",
                f"the token has no scope {' or '.join(needed)}",
                metadata={"scope": " ".join(needed)},
            )
        if waits:
            call.standing.expiry = Expiry(call.standing, identity.ends)

    return guard


def _authorization(metadata: Metadata) -> str:
    """Raises Unauthenticated."""
    found: Any = None
    for key, value in metadata:
        if key == AUTHORIZATION:
            if found is not None:
                raise Unauthenticated("TOKEN_INVALID", "there must be one token")
            found = value
    if found is None:
        raise Unauthenticated(
            "TOKEN_MISSING", 'a token is needed: metadata "authorization: Bearer TOKEN"'
        )
    return found  # type: ignore[no-any-return]  # bytes have keys that end with -bin


def _by_certificate(call: Call, _: Metadata, context: Any) -> None:
    """Its name is the actor's, unless the caller names one."""
    if call.actor:
        return
    identity: dict[str, Sequence[bytes]] = context.auth_context()
    for name in ("peer_spiffe_id", "x509_common_name"):
        for value in identity.get(name, ()):
            text = value.decode(errors="replace")
            if is_actor(text):
                call.actor = text
                return
