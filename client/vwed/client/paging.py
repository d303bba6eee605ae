from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, overload

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.cache_service_pb2 import ListDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    ListBlockRecordsRequest,
    ListTaskRecordEventsRequest,
    ListTaskRecordsRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    ListTaskDefsRequest,
    ListTaskDefVersionsRequest,
    ListTaskTemplatesRequest,
    ListTaskTemplateVersionsRequest,
)
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord
from vwed.v1.task_template_pb2 import TaskTemplate

PAGE_SIZE = 1000
"""Items a page unless the request says otherwise: the most that the service gives at once."""


@overload
def pages(
    method: Callable[[ListTaskRecordsRequest], Awaitable[Any]], request: ListTaskRecordsRequest
) -> AsyncIterator[TaskRecord]: ...
@overload
def pages(
    method: Callable[[ListBlockRecordsRequest], Awaitable[Any]], request: ListBlockRecordsRequest
) -> AsyncIterator[BlockRecord]: ...
@overload
def pages(
    method: Callable[[ListTaskRecordEventsRequest], Awaitable[Any]],
    request: ListTaskRecordEventsRequest,
) -> AsyncIterator[TaskRecordEvent]: ...
@overload
def pages(
    method: Callable[[ListDataCacheRequest], Awaitable[Any]], request: ListDataCacheRequest
) -> AsyncIterator[DataCache]: ...
@overload
def pages(
    method: Callable[[ListTaskDefsRequest], Awaitable[Any]], request: ListTaskDefsRequest
) -> AsyncIterator[TaskDef]: ...
@overload
def pages(
    method: Callable[[ListTaskDefVersionsRequest], Awaitable[Any]],
    request: ListTaskDefVersionsRequest,
) -> AsyncIterator[TaskDef]: ...
@overload
def pages(
    method: Callable[[ListTaskTemplatesRequest], Awaitable[Any]], request: ListTaskTemplatesRequest
) -> AsyncIterator[TaskTemplate]: ...
@overload
def pages(
    method: Callable[[ListTaskTemplateVersionsRequest], Awaitable[Any]],
    request: ListTaskTemplateVersionsRequest,
) -> AsyncIterator[TaskTemplate]: ...
async def pages(method: Callable[[Any], Awaitable[Any]], request: Any) -> AsyncIterator[Any]:
    """Every item of a list, over all its pages: `pages(client.records.ListTaskRecords, request)`.

    The request stays as it is; it may begin at a page of its own. A page is fetched when the one
    before is used up. Raises what the method does.
    """
    page = first_page(request)
    while True:
        answer = await method(page)
        for item in items(answer):
            yield item
        if not answer.next_page_token:
            return
        page.page_token = answer.next_page_token


def first_page(request: Any) -> Any:
    """A request of the list's first page, which becomes that of each further one."""
    page = type(request)()
    page.CopyFrom(request)
    page.page_size = page.page_size or PAGE_SIZE
    return page


def items(answer: Any) -> Any:
    """What a list's answer has in its one repeated field."""
    (field,) = (field.name for field in answer.DESCRIPTOR.fields if field.is_repeated)
    return getattr(answer, field)
