"""Calls as traces: what their callers say, what they ask of the stores, and what stays out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from vwed.v1.record_service_pb2 import GetTaskRecordRequest, WatchTaskRecordRequest

from tests.support.calls import create_def, create_run
from tests.support.steps import block, report, running
from tests.support.waiting import until_true
from vwed.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
NOT_SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-00"),)


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    yield exporter
    exporter.clear()


@asynccontextmanager
async def traced(settings: Settings, tenant: str, share: float | None) -> AsyncIterator[Client]:
    own = settings.model_copy(update={"trace_share": share})
    async with (
        serving(own) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        yield client


async def calls(spans: InMemorySpanExporter, method: str) -> list[ReadableSpan]:
    """Those that have ended, which is a moment after their answer."""

    def ended() -> list[ReadableSpan]:
        return [s for s in spans.get_finished_spans() if s.name.endswith(f"/{method}")]

    return await until_true(ended)


def below(spans: InMemorySpanExporter, call: ReadableSpan) -> list[ReadableSpan]:
    """All of the call's trace but itself."""
    assert call.context
    return [
        span
        for span in spans.get_finished_spans()
        if span is not call and span.context and span.context.trace_id == call.context.trace_id
    ]


async def test_a_callers_trace_goes_on_into_postgresql_and_redis(
    settings: Settings, tenant: str, spans: InMemorySpanExporter
) -> None:
    async with traced(settings, tenant, 0.0) as client:
        run = await create_run(client, (await create_def(client)).id)
        assert not spans.get_finished_spans()  # nobody asked for it
        await client.records.GetTaskRecord(GetTaskRecordRequest(id=run.id), metadata=SAMPLED)
        (call,) = await calls(spans, "GetTaskRecord")
    assert call.context
    assert call.parent
    assert f"{call.context.trace_id:032x}" == TRACE
    assert f"{call.parent.span_id:016x}" == PARENT
    assert call.kind is SpanKind.SERVER
    assert call.attributes
    assert call.attributes["rpc.service"] == "vwed.v1.RecordService"
    assert call.attributes["rpc.response.status_code"] == "OK"
    assert call.attributes["vwed.tenant"] == tenant
    asked = {span.name: span for span in below(spans, call)}
    assert {"redis MGET", "redis SET", "postgresql SELECT"} <= asked.keys()
    for span in asked.values():
        assert run.id not in str(span.attributes)  # statements, without what they ask for
        assert tenant not in str(span.attributes)


async def test_a_share_of_other_calls_is_traced_unless_the_caller_said_no(
    settings: Settings, tenant: str, spans: InMemorySpanExporter
) -> None:
    async with traced(settings, tenant, 1.0) as client:
        await create_def(client)  # which SQLAlchemy's session inserts
        (created,) = await calls(spans, "CreateTaskDef")
        assert "postgresql INSERT" in {span.name for span in below(spans, created)}
        run = await running(client)
        (start,) = await calls(spans, "StartTaskRecord")
        names = [span.name for span in below(spans, start)]
        assert {"postgresql BEGIN", "postgresql COMMIT", "redis UNLINK"} <= set(names)
        spans.clear()
        await client.records.GetTaskRecord(GetTaskRecordRequest(id=run.id), metadata=NOT_SAMPLED)
        with pytest.raises(grpc.aio.AioRpcError):
            await client.records.GetTaskRecord(GetTaskRecordRequest(id="no-such"))
        (missing,) = await calls(spans, "GetTaskRecord")
        assert missing.attributes
        assert missing.attributes["rpc.response.status_code"] == "NOT_FOUND"
        assert missing.status.status_code is StatusCode.UNSET  # no fault of the server's


async def test_without_a_share_nothing_is_traced(
    settings: Settings, tenant: str, spans: InMemorySpanExporter
) -> None:
    async with traced(settings, tenant, None) as client:
        run = await create_run(client, (await create_def(client)).id)
        await client.records.GetTaskRecord(GetTaskRecordRequest(id=run.id), metadata=SAMPLED)
    assert not spans.get_finished_spans()


async def test_what_calls_share_is_in_one_trace_with_links_to_the_others(
    settings: Settings, tenant: str, spans: InMemorySpanExporter
) -> None:
    async with traced(settings, tenant, 1.0) as client:
        run = await running(client)

        async def shared() -> list[ReadableSpan]:
            """Reports that came together, once some have."""
            spans.clear()
            await asyncio.gather(*(report(client, run.id, block(f"b{n}")) for n in range(16)))
            return [span for span in spans.get_finished_spans() if len(span.links) > 1]

        (first, *_) = await until_true(shared)
        reports = {
            span.context.span_id
            for span in await calls(spans, "ReportBlocks")
            if span.context is not None
        }
    assert first.parent
    assert first.parent.span_id in reports
    assert {link.context.span_id for link in first.links} <= reports


async def test_the_work_of_a_stream_is_not_part_of_its_trace(
    settings: Settings, tenant: str, spans: InMemorySpanExporter
) -> None:
    async with traced(settings, tenant, 0.0) as client:
        run = await create_run(client, (await create_def(client)).id)
        request = WatchTaskRecordRequest(task_record_id=run.id)
        watch = client.records.WatchTaskRecord(request, metadata=SAMPLED)
        await watch.read()
        watch.cancel()
        (call,) = await calls(spans, "WatchTaskRecord")
        assert call.attributes
        assert call.attributes["rpc.response.status_code"] == "CANCELLED"
        assert not below(spans, call)


@pytest.mark.usefixtures("each_call_is_logged")
async def test_the_log_has_the_trace_id(
    settings: Settings, tenant: str, spans: InMemorySpanExporter
) -> None:
    async with traced(settings, tenant, 0.0) as client:
        with capture_logs([merge_contextvars]) as logs:
            with pytest.raises(grpc.aio.AioRpcError):
                await client.records.GetTaskRecord(
                    GetTaskRecordRequest(id="no-such"), metadata=SAMPLED
                )
            await calls(spans, "GetTaskRecord")
    (line,) = [line for line in logs if line["event"] == "call"]
    assert line["trace_id"] == TRACE
