"""What gRPC says of a server that it cannot reach, without what is of use to its authors alone."""

import re

_OF_ITS_AUTHORS = re.compile(
    r"connections to all backends failing; last error: \w+: \S+: |"
    r"errors resolving .*: (?=[^:]*$)|"
    r"Failed to connect to remote host: |"
    r"Custom verification check failed with error: \w+: |"
    r"SSL_ERROR_SSL: error:\w+:SSL routines:OPENSSL_internal:|"
    r": Invalid certificate verification context|"
    r": OK$|[\].]+$"
)
_LOOK_AT = {
    "Connection refused": "does a server listen there?",
    "Socket closed": "does it want TLS?",
    "reset by peer": "does it want TLS?",
    "before receiving SETTINGS": "does it want TLS?",
    "WRONG_VERSION_NUMBER": "is it one without TLS?",
    "CERTIFICATE_VERIFY_FAILED": "is it of the authorities of --tls-ca?",
    "Hostname Verification": "its certificate is for another name",
}
"""A part of what it says -> what to look at."""


def plain(said: str) -> str:
    """With what to look at; words of gRPC that are not known stay as they are."""
    text = _OF_ITS_AUTHORS.sub("", said)
    look_at = next((hint for part, hint in _LOOK_AT.items() if part in text), "")
    return f"{text}; {look_at}" if look_at else text
