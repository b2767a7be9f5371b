"""``/metrics`` in Prometheus' formats: what the store says of itself, read once a scrape, and this process's own meters."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tracker.errors import TrackerError
from tracker.query.report import PartitionReport, StatusReport
from tracker.stores.base import OUTCOMES
from tracker.web import meters as names
from tracker.web.answers import answer_heads, clock
from tracker.web.context import Served
from tracker.web.faults import RESPONSES

router = APIRouter(tags=["operations"])


@router.get(
    "/metrics",
    operation_id="getMetrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **RESPONSES},
)
async def get_metrics(request: Request, served: Served) -> Response:
    """Metrics for Prometheus, as text or as OpenMetrics, whichever it accepts."""
    try:
        report = await served.tasks.status(clock())
    except TrackerError:
        report = None
    registry = CollectorRegistry()
    registry.register(StoreMetrics(report))
    registry.register(ProcessMetrics(served.meters))
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=content_type)


class ProcessMetrics(Collector):
    """The meters of this process, without the time at which each series began: as many series again, and of use to few."""

    def __init__(self, meters: names.Meters) -> None:
        self._meters = meters

    def describe(self) -> list[Metric]:
        """Nothing: the registry is made for one scrape and need not look for doubles."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families."""
        for family in self._meters.registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class StoreMetrics(Collector):
    """The metrics that a store's report has; None: it could not be read."""

    def __init__(self, report: StatusReport | None) -> None:
        self._report = report

    def describe(self) -> list[Metric]:
        """Nothing: the registry is made for one scrape and need not look for doubles."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families."""
        report = self._report
        yield _gauge(names.STORE_READABLE, float(report is not None))
        if report is None:
            return
        yield _gauge(names.TASKS, report.tasks)
        yield _gauge(names.REVISION, report.revision)
        yield _gauge(names.PURGED_TASKS, report.purged)
        if report.size is not None:
            yield _gauge(names.STORE_BYTES, report.size.bytes)
            yield _gauge(names.STORE_FREE_BYTES, report.size.free_bytes)
        parked = GaugeMetricFamily(names.PARKED.name, names.PARKED.help, labels=names.PARKED.labels)
        for reason, count in report.parked_by_reason.items():
            parked.add_metric([reason], count)
        yield parked
        yield from _partitions(report.partitions)


def _gauge(metric: names.Metric, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, value=value)


def _partitions(partitions: list[PartitionReport]) -> Iterator[Metric]:
    records = CounterMetricFamily(names.RECORDS.name, names.RECORDS.help, labels=names.RECORDS.labels)
    gauges = {
        metric: GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for metric in (names.NEXT_OFFSET, names.LAG_RECORDS, names.LAG_SECONDS)
    }
    for each in partitions:
        at = [each.topic, str(each.partition)]
        for outcome in (*OUTCOMES, "parked"):
            records.add_metric([*at, outcome], getattr(each.counters, outcome))
        values = {names.NEXT_OFFSET: each.next_offset, names.LAG_RECORDS: each.lag_records, names.LAG_SECONDS: each.lag_seconds}
        for metric, value in values.items():
            if value is not None:
                gauges[metric].add_metric(at, value)
    yield records
    yield from gauges.values()


answer_heads(router)
