"""The whole API does what its OpenAPI document says, whatever is sent to it: nothing but schemathesis's own checks, all of them.

Texts that have a grammar of their own are documented as a format each; what makes valid ones is here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.web.whole import whole

FILTERS = (
    'state eq "RUNNING"',
    "completionStatus isnull",
    'launcher sw "sw"',
    'not id in ("a","b/c")',
    "created gt 2026-01-01T00:00:30Z",
    "pr launched",
    "attempt ge 1 or parentId isnull",
    "modified lt now-10m",
)
FIELDS = ("id", "launcher", "uniqueName", "completionStatus", "attempt", "-created", "-modified")
CURSOR = "WyJjcmVhdGVkLGlkIixbIjIwMjYtMDEtMDFUMDA6MDA6MDAuMDAwMDAwWiIsImEvYiJdXQ"
FORMATS = {
    "task-filter": st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3).map(" and ".join),
    "task-sorters": st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True).map(",".join),
    "task-fields": st.lists(st.sampled_from(("id", "messages", "tracker.state", "attributes.n")), min_size=1).map(",".join),
    "task-time": st.sampled_from(("2026-01-01", "2026-01-01T00:01:00Z", "now-10d")),
    "task-cursor": st.just(CURSOR),  # of the order that a list has unless told
    "position-vector": st.just("kA"),  # of no positions, so reached at once
    "change-token": st.just("0"),
    "task-attribute": st.sampled_from(("n:int64", "text=n", "when:timestamp")),
}
for _name, _strategy in FORMATS.items():
    schemathesis.openapi.format(_name, _strategy)

ANSWERS = ["2xx", "3xx", "401", "403", "404", "409", "429", "5xx"]
REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "415", "422", "428", "429", "5xx"]
"""What schemathesis takes for an answer to what is valid, and to what is not, unless told."""
DEPENDS = {
    "positive_data_acceptance": {
        "expected-statuses": [*ANSWERS, "400"]
    },  # a patch of a task that is not so, a cursor of another order, too many buckets
    "negative_data_rejection": {"expected-statuses": [*REFUSALS, "413"]},  # too many operations, and too many bytes too
}
"""Where more than the document decides about a request."""


class Run:
    """What one run of schemathesis found."""

    def __init__(self, url: str, *, examples: int, phases: dict[str, Any], without: str | None = None) -> None:
        config = SchemathesisConfig.from_dict(
            {
                "seed": 7,
                "generation": {"max-examples": examples},
                "request-timeout": 15,
                "max-stream-events": 1,  # a live stream has no end
                "operations": [
                    {"include-method": "PATCH", "checks": DEPENDS},
                    {"include-name": ["GET /api/tasks", "GET /api/histogram"], "checks": DEPENDS},
                    {"include-path-regex": "^/api/tasks[.]", "checks": DEPENDS},  # two attributes with one name
                ],
                "phases": phases,
            }
        )
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        for event in from_schema(schema if without is None else schema.exclude(path=without)).execute():
            self._take(event)

    @property
    def requests(self) -> int:
        """How many were sent."""
        return self.statuses.total()

    def _take(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.NonFatalError):
            self.failures.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            self.failures.append(str(event.exception))
        elif isinstance(event, events.ScenarioFinished):
            for interaction in event.recorder.interactions.values():
                self.statuses[0 if interaction.response is None else interaction.response.status_code] += 1
            for checks in event.recorder.checks.values():
                for check in checks:
                    if (info := check.failure_info) is not None:
                        self.failures.append(f"{event.recorder.label}: {info.failure.title}: {info.failure.message}\n{info.code_sample}")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_api_is_as_documented(tmp_path: Path) -> None:
    """Some hundred requests to all operations (those without an end apart): all checks hold, no fault of ours."""
    off = {"enabled": False}
    with whole(tmp_path) as url:
        run = Run(url, examples=5, phases={"coverage": off, "stateful": off}, without="/api/changes")
    assert not run.failures, "\n\n".join(run.failures)
    assert run.requests >= 150
    assert not [status for status in run.statuses if status >= 500]


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
def test_the_api_is_as_documented_at_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Thousands of requests, valid, invalid and one after the other: all checks hold, no fault of ours."""
    with whole(tmp_path) as url:
        run = Run(url, examples=60, phases={})
    with capsys.disabled():
        print(f"\nschemathesis: {run.requests} requests, {dict(sorted(run.statuses.items()))}, {len(run.failures)} failures")
    assert not run.failures, "\n\n".join(run.failures)
    assert run.requests >= 2_000
    assert not [status for status in run.statuses if status >= 500]
