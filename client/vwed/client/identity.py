"""Who calls: the metadata that every call of a client carries."""

from collections.abc import Callable, Sequence

from grpc.aio import Metadata

Token = str | Callable[[], str] | None
Pairs = Sequence[tuple[str, str | bytes]]


class Identity:
    """A tenant, an actor, and a token that may be renewed.

    Raises:
        ValueError: `tenant` or `token` cannot be one; of a token that is a function's answer, for
            each call. gRPC's own error for it does not say what is wrong.
    """

    def __init__(self, tenant: str, actor: str, token: Token) -> None:
        if not (tenant.isascii() and tenant.isprintable()):
            raise ValueError(
                f"no tenant has the id {tenant!r}: ids are ASCII letters, digits and ._:-"
            )
        fixed: list[tuple[str, str | bytes]] = [("x-vwed-tenant", tenant)]
        if actor.isascii() and actor.isprintable():
            fixed += [("x-vwed-actor", actor)] if actor else []
        else:
            # Surrogates, which odd bytes of an argument become, are no text: the server says so.
            fixed.append(("x-vwed-actor-bin", actor.encode(errors="surrogatepass")))
        if isinstance(token, str):
            fixed.append(_bearer(token))
        self._fixed = Metadata(*fixed)
        self._token = token if callable(token) else None

    @property
    def renews_token(self) -> bool:
        """A call that its token's end ended may be made again."""
        return self._token is not None

    def metadata(self) -> Metadata:
        """For one call, with the token as it is now."""
        if self._token is None:
            return self._fixed
        return Metadata(*self._fixed, _bearer(self._token()))


def _bearer(token: str) -> tuple[str, str]:
    if not (token.isascii() and token.isprintable()):  # its text is told to nobody
        raise ValueError("the token is not one line of ASCII")
    return "authorization", f"Bearer {token}"
