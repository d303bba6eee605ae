"""Whether this process lives and whether it is ready, for orchestrators that ask over HTTP.

`/livez`: it answers, so its event loop turns; whoever gets no answer may restart it. PostgreSQL
plays no part: a restart would not bring that back.
`/readyz`: every service is SERVING; else 503, and what keeps it from that. While the process waits
for PostgreSQL, and from the first moment of its draining on, it is not ready.
"""

from collections.abc import Mapping
from http import HTTPStatus

from vwed_grpc.process.pages import MakePage, Page


async def livez() -> Page:
    return Page("ok\n")


def readyz(problems: Mapping[str, str], *, tolerated: int = 0) -> MakePage:
    """Looks into `problems` anew each time: what keeps a service, or a worker, from serving.

    So many of them may have one: where several workers serve, one is enough.
    """

    async def page() -> Page:
        text = "".join(f"{name}: {why}\n" for name, why in problems.items()) or "ok\n"
        ready = len(problems) <= tolerated
        return Page(text, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    return page
