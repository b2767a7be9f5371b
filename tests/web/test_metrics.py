"""/metrics: what Prometheus is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.query_store import event
from tracker.errors import StoreUnavailable
from tracker.projector import BatchTimes, Progress
from tracker.projector.projection import Station
from tracker.query.api import TaskQuery
from tracker.stores.base import Commit, Counters
from tracker.stores.open import open_store
from tracker.testing.stores.values import AT, advance, parked, position
from tracker.web.meters import METRICS, Meters

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def batch(records: int = 10) -> Progress:
    """A batch's progress."""
    return Progress(Counters(records, records), 1.0, {}, BatchTimes(records, 0.2, Station(0.01, 0.02, 0.03, 0.04, 0.05)))


def values(text: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and label values, labels by name."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
async def client(served, tmp_path):
    """A server over a store with a task, a partition that lags, and a parked record."""
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        store.claim([position()])
        store.commit(Commit(advances=[advance(0, 5, counters=Counters(5, 3, 1, 0, 1))], parked=[parked(4)]))
    meters = Meters()
    meters.on_progress(batch())
    return await served(event("a", "created"), meters=meters)


async def test_the_store_is_counted(client) -> None:
    """Records by outcome, parked by reason, tasks, positions: from the store, whoever fills it."""
    found = values((await client.get("/metrics")).text)
    at = (str(AT.partition), AT.topic)
    assert [found["tracker_records_total", outcome, *at] for outcome in ("applied", "unchanged", "ignored", "parked")] == [3, 1, 0, 1]
    assert found["tracker_parked_records", "not-json"] == 1
    assert found["tracker_next_offset", *at] == 5
    assert (found["tracker_tasks",], found["tracker_store_readable",]) == (1, 1)


async def test_an_unknown_lag_is_absent(client) -> None:
    """Never 0: no worker has told where the log ends."""
    assert not [name for name in values((await client.get("/metrics")).text) if name[0].startswith("tracker_lag")]


async def test_batches_are_measured(client) -> None:
    """A batch's length, its records, its commit, and the seconds of each station."""
    found = values((await client.get("/metrics")).text)
    assert (found["tracker_batch_seconds_sum",], found["tracker_batch_records_sum",]) == (0.2, 10)
    assert (found["tracker_commit_seconds_sum",], found["tracker_station_seconds_total", "load"]) == (0.05, 0.02)


async def test_requests_are_counted_by_route(client) -> None:
    """By the route's pattern: ids would make as many series as there are tasks."""
    await client.get("/api/tasks/a")
    await client.get("/api/tasks/none")
    await client.get("/nothing/here")
    found = values((await client.get("/metrics")).text)
    assert found["tracker_http_requests_total", "GET", "/api/tasks/{id}", "200"] == 1
    assert found["tracker_http_requests_total", "GET", "/api/tasks/{id}", "404"] == 1
    assert found["tracker_http_requests_total", "GET", "none", "404"] == 1
    assert found["tracker_http_request_seconds_count", "/api/tasks/{id}"] == 2


async def test_every_metric_is_shown_with_its_help(client) -> None:
    """Each of the table, by its kind, and nothing beside them."""
    await client.get("/api/tasks")
    text = (await client.get("/metrics")).text
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    kinds = dict(re.findall(r"^# TYPE (\S+) (.*)$", text, re.MULTILINE))
    assert helps == {metric.name: metric.help for metric in METRICS}
    assert kinds == {metric.name: metric.kind for metric in METRICS}


async def test_openmetrics_is_given_to_who_accepts_it(client) -> None:
    """Prometheus asks for it."""
    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_a_store_that_is_away_does_not_hide_the_process(client, monkeypatch) -> None:
    """The process's own metrics are there; the store's are absent, not 0."""

    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(TaskQuery, "status", away)
    answer = await client.get("/metrics")
    found = values(answer.text)
    assert (answer.status_code, found["tracker_store_readable",]) == (200, 0)
    assert ("tracker_tasks",) not in found
    assert found["tracker_batch_records_sum",] == 10


def test_two_apps_have_meters_of_their_own() -> None:
    """Nothing is registered for the whole process."""
    one, other = Meters(), Meters()
    one.on_progress(batch())
    assert other.registry.get_sample_value("tracker_batch_records_sum") == 0


def test_the_page_lists_all_metrics() -> None:
    """docs/metrics.md has each metric of the table, with its kind, labels and help, and no other."""
    rows = re.findall(r"^\| `(tracker_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    told = [(metric.name, metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.help) for metric in METRICS]
    assert rows == told
