"""What a PostgreSQL must be for the service to work on it."""

_OLDEST = 15
_ENCODING = "UTF8"


def lacking(major: int, encoding: str) -> str:
    """What is wrong with a server of this major version, and a database's encoding; "": nothing."""
    if major < _OLDEST:
        return f"PostgreSQL {_OLDEST} or newer is needed, this is {major}"
    if encoding != _ENCODING:
        return f"the encoding of the database must be {_ENCODING}, it is {encoding}"
    return ""
