"""Where traces go: to the collector that OpenTelemetry's own variables name, by OTLP."""

from importlib import import_module

from opentelemetry import trace

from vwed_grpc.process.stores import CannotServeError

_EXPORTER = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"


def check_extra() -> None:
    """Raises CannotServeError unless the extra is installed that traces are exported with."""
    try:
        import_module(_EXPORTER)
        import_module("opentelemetry.sdk.trace.export")
    except ImportError as exc:
        raise CannotServeError(
            "VWED_TRACE_SHARE is set, which needs: pip install 'vwed-grpc[tracing]'"
        ) from exc


def export_traces() -> None:
    """Sends what is traced from here on, in a thread of its own, also what is left at the end."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come before this name.
    provider = TracerProvider(resource=Resource.create({"service.name": "vwed-grpc"}))
    provider.add_span_processor(BatchSpanProcessor(import_module(_EXPORTER).OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
