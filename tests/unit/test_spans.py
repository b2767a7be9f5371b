"""Spans where OpenTelemetry's API is installed, and nothing where it is not."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tracker import telemetry
from tracker.projector import Progress, Projector
from tracker.sources.memory import END, MemorySource
from tracker.stores.memory import MemoryStore
from tracker.testing import events
from tracker.testing.events import to_records


class Recorder:
    """A tracer that remembers its spans; it is its own span too."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, dict[str, Any]]] = []
        self.length_ns = 0
        self._start_ns = 0

    def start_span(self, name: str, *, start_time: int, attributes: dict[str, Any]) -> Recorder:
        """A span that has begun already."""
        self.spans.append((name, attributes))
        self._start_ns = start_time
        return self

    def end(self, end_time: int) -> None:
        """Its end."""
        self.length_ns = end_time - self._start_ns


@pytest.fixture
def recorder(monkeypatch) -> Recorder:
    """In place of the installed tracer."""
    made = Recorder()
    monkeypatch.setattr(telemetry, "_tracer", lambda: made)
    return made


def test_a_batch_is_a_span(recorder) -> None:
    """As long as the batch took, with the seconds at each station."""
    telemetry.trace_batch(7, 0.25, {"decode": 0.1, "commit": 0.05})
    assert recorder.spans == [("tracker.batch", {"tracker.records": 7, "tracker.decode_seconds": 0.1, "tracker.commit_seconds": 0.05})]
    assert recorder.length_ns == 250_000_000


def test_without_the_package_nothing_is_done(monkeypatch) -> None:
    """No tracer, and no error."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    telemetry._tracer.cache_clear()
    try:
        assert telemetry._tracer() is None
        telemetry.trace_batch(1, 0.1, {})
    finally:
        telemetry._tracer.cache_clear()


async def test_a_projector_tells_each_batch(recorder) -> None:
    """As a span, and in its progress: records and seconds of each batch that was committed."""
    told: list[Progress] = []
    records = to_records([events.created("a"), events.launched("a"), events.created("b")])
    with MemoryStore() as store:
        await Projector(lambda _: MemorySource([*records, END]), store, on_progress=told.append).run()
    assert sum(each.batch.records for each in told) == 3
    assert all(0 <= each.batch.stations.commit <= each.batch.seconds for each in told)
    assert [name for name, _ in recorder.spans] == ["tracker.batch"] * len(told)
