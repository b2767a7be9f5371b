"""A request is a span: FastAPI makes it where an OpenTelemetry SDK is set up."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace

from tests.unit.query_store import event


class Span(trace.NonRecordingSpan):
    """Remembers its name."""

    def __init__(self, name: str) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.name = name

    def is_recording(self) -> bool:
        """So that it is told the route."""
        return True

    def update_name(self, name: str) -> None:
        """The better name."""
        self.name = name


class Provider(trace.TracerProvider, trace.NoOpTracer):
    """A provider of one tracer, itself, which remembers all spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        """Itself."""
        return self

    def start_span(self, name: str, *_: Any, **__: Any) -> Span:
        """One more."""
        self.spans.append(Span(name))
        return self.spans[-1]


async def test_a_request_is_a_span_named_by_its_route(served, monkeypatch) -> None:
    """By the route's pattern, whatever the id."""
    provider = Provider()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    client = await served(event("a", "created"))
    await client.get("/api/tasks/a")
    assert "GET /api/tasks/{id}" in [span.name for span in provider.spans]
