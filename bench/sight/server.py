"""`vwed-grpc serve` whose traces are made, and end where they would be encoded and sent."""

from collections.abc import Sequence
from unittest.mock import patch

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from vwed_grpc.cli.main import main


class Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - see above
        return SpanExportResult.SUCCESS


def _export_nowhere() -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)


if __name__ == "__main__":
    with patch.multiple(
        "vwed_grpc.cli.serving", check_extra=lambda: None, export_traces=_export_nowhere
    ):
        main()
