from collections.abc import Callable, Iterator
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

from vwed.client.paging import first_page, items


@overload
def pages(
    method: Callable[[ListTaskRecordsRequest], Any], request: ListTaskRecordsRequest
) -> Iterator[TaskRecord]: ...
@overload
def pages(
    method: Callable[[ListBlockRecordsRequest], Any], request: ListBlockRecordsRequest
) -> Iterator[BlockRecord]: ...
@overload
def pages(
    method: Callable[[ListTaskRecordEventsRequest], Any], request: ListTaskRecordEventsRequest
) -> Iterator[TaskRecordEvent]: ...
@overload
def pages(
    method: Callable[[ListDataCacheRequest], Any], request: ListDataCacheRequest
) -> Iterator[DataCache]: ...
@overload
def pages(
    method: Callable[[ListTaskDefsRequest], Any], request: ListTaskDefsRequest
) -> Iterator[TaskDef]: ...
@overload
def pages(
    method: Callable[[ListTaskDefVersionsRequest], Any], request: ListTaskDefVersionsRequest
) -> Iterator[TaskDef]: ...
@overload
def pages(
    method: Callable[[ListTaskTemplatesRequest], Any], request: ListTaskTemplatesRequest
) -> Iterator[TaskTemplate]: ...
@overload
def pages(
    method: Callable[[ListTaskTemplateVersionsRequest], Any],
    request: ListTaskTemplateVersionsRequest,
) -> Iterator[TaskTemplate]: ...
def pages(method: Callable[[Any], Any], request: Any) -> Iterator[Any]:
    """Every item of a list, over all its pages: `pages(client.records.ListTaskRecords, request)`.

    The request stays as it is; it may begin at a page of its own. A page is fetched when the one
    before is used up. Raises what the method does.
    """
    page = first_page(request)
    while True:
        answer = method(page)
        yield from items(answer)
        if not answer.next_page_token:
            return
        page.page_token = answer.next_page_token
