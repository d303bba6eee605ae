"""Requests that must be refused, by what they are about."""

from itertools import chain

from tests.support.bad_requests import (
    definitions,
    entries,
    lists,
    missing_runs,
    reports,
    runs,
    templates,
)

BAD_REQUESTS = [
    *chain(definitions.created(), definitions.named(), definitions.updated()),
    *chain(templates.schemas(), templates.placeholders(), templates.templates()),
    *chain(templates.instances(), templates.histories()),
    *lists.lists(),
    *chain(runs.created(), runs.taken(), runs.ended(), runs.spoken_to()),
    *runs.moved_where_they_cannot_go(),
    *missing_runs.missing_runs(),
    *reports.reports(),
    *entries.entries(),
]
