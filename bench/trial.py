"""One call by gRPC's own client, so that a case measures what it thinks it does."""

from collections.abc import Mapping

import grpc


def answer_to(
    target: str, path: str, body: bytes, metadata: Mapping[str, str] | None = None
) -> bytes:
    """The answer's bytes. Raises grpc.RpcError if it is an error."""
    with grpc.insecure_channel(target) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        return call(body, metadata=tuple((metadata or {}).items()), timeout=30)
