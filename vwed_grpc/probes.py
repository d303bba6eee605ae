"""Whether this process lives and whether it is ready, for orchestrators that ask over HTTP.

`/livez`: it answers, so its event loop turns; whoever gets no answer may restart it. PostgreSQL
plays no part: a restart would not bring that back.
`/readyz`: every service is SERVING; else 503, and what keeps it from that. While the process waits
for PostgreSQL, and from the first moment of its draining on, it is not ready.
"""

from collections.abc import Mapping
from http import HTTPStatus

from vwed_grpc.pages import MakePage, Page


async def livez() -> Page:
    return Page("ok\n")


def readyz(problems: Mapping[str, str]) -> MakePage:
    """Asks `problems` anew each time: what keeps a service from serving, by its name."""

    async def page() -> Page:
        if not problems:
            return Page("ok\n")
        lines = (f"{service or 'server'}: {why}\n" for service, why in problems.items())
        return Page("".join(lines), HTTPStatus.SERVICE_UNAVAILABLE)

    return page
