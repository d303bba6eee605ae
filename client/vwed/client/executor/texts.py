"""Texts for people, as the service takes them."""

ERROR_CODE = 64
ERROR_MESSAGE = 16 * 1024
"""Characters; the service cuts at 64 KiB, which these never are more than."""
MESSAGE = 512
ROBOT_ID = 128


def text(value: object, limit: int) -> str:
    """At most so many characters, without those that the service refuses."""
    plain = str(value)[:limit].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return plain.encode(errors="replace").decode()
