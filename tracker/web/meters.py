"""What is measured, each by its name in one table, and the meters of one process; `tracker.web.metrics` shows them.

Meters belong to an app (and to the projector beside it), not to the process, so that two apps in one process do not share them.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from tracker.projector import Progress


class Metric(NamedTuple):
    """One metric as /metrics shows it."""

    name: str
    kind: str
    """counter, gauge or histogram."""
    labels: tuple[str, ...]
    help: str


PARTITION = ("topic", "partition")
RECORDS = Metric("tracker_records_total", "counter", (*PARTITION, "outcome"), "Records read, by what became of them; from the store.")
NEXT_OFFSET = Metric("tracker_next_offset", "gauge", PARTITION, "The next offset to read; of a file a byte.")
LAG_RECORDS = Metric("tracker_lag_records", "gauge", PARTITION, "Records in the log that are not folded yet; absent while unknown.")
LAG_SECONDS = Metric("tracker_lag_seconds", "gauge", PARTITION, "How far behind the log's end in seconds; absent while unknown.")
PARKED = Metric("tracker_parked_records", "gauge", ("reason",), "Refused records that are parked, by reason; from the store.")
TASKS = Metric("tracker_tasks", "gauge", (), "Tasks in the store, without deleted ones.")
REVISION = Metric("tracker_revision", "gauge", (), "Revision of the store's newest commit.")
STORE_BYTES = Metric("tracker_store_bytes", "gauge", (), "Size of the store's files; absent of a store in memory.")
STORE_FREE_BYTES = Metric("tracker_store_free_bytes", "gauge", (), "Of the store's files, what is free for new rows.")
PURGED_TASKS = Metric(
    "tracker_purged_tasks", "gauge", (), "Tasks that retention has purged; those that a later attempt opened again are among them."
)
STORE_READABLE = Metric(
    "tracker_store_readable", "gauge", (), "1 where this scrape could read the store, else 0 and what is of it is absent."
)
BATCH_SECONDS = Metric(
    "tracker_batch_seconds", "histogram", (), "A batch from decoding to the source being told; where the projector runs."
)
BATCH_RECORDS = Metric("tracker_batch_records", "histogram", (), "Records of a batch; where the projector runs.")
COMMIT_SECONDS = Metric("tracker_commit_seconds", "histogram", (), "A batch's transactions in the store; where the projector runs.")
STATION_SECONDS = Metric(
    "tracker_station_seconds_total", "counter", ("station",), "Seconds at each station of a batch: decode, load, fold, dump, commit."
)
REQUESTS = Metric("tracker_http_requests_total", "counter", ("method", "route", "status"), "HTTP requests by route and status.")
REQUEST_SECONDS = Metric("tracker_http_request_seconds", "histogram", ("route",), "Until an answer begins.")
STREAMS_OPEN = Metric("tracker_streams_open", "gauge", (), "Clients that follow changes now.")
STREAMS_DROPPED = Metric(
    "tracker_streams_dropped_total", "counter", (), "Clients that were too slow to follow and were told to begin anew."
)
WORKER_STUCK = Metric(
    "tracker_worker_stuck", "gauge", (), "1 while this worker has records to read and does not get on; where the projector runs."
)
AUDITED = Metric("tracker_audit_tasks_total", "counter", (), "Tasks that were folded again from the log; where `run --audit` works.")
AUDIT_DIFFERENCES = Metric(
    "tracker_audit_differences_total", "counter", (), "Those of them that were not what the store has: 0, or something is wrong."
)
METRICS = (
    RECORDS,
    NEXT_OFFSET,
    LAG_RECORDS,
    LAG_SECONDS,
    PARKED,
    TASKS,
    REVISION,
    STORE_BYTES,
    STORE_FREE_BYTES,
    PURGED_TASKS,
    STORE_READABLE,
    BATCH_SECONDS,
    BATCH_RECORDS,
    COMMIT_SECONDS,
    STATION_SECONDS,
    REQUESTS,
    REQUEST_SECONDS,
    STREAMS_OPEN,
    STREAMS_DROPPED,
    WORKER_STUCK,
    AUDITED,
    AUDIT_DIFFERENCES,
)
"""All there are, for the reference."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 10, 100, 1_000, 2_500, 5_000, 10_000, 25_000)
UNROUTED = "none"
"""The route of a request for what is not there: its path could be anything, and each label value lives for ever."""
METHODS = frozenset(("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"))


class Meters:
    """The meters of one app. ``on_progress`` takes a projector's progress; without a projector in this process they stay at nothing."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._began = monotonic()
        self._batch_seconds = self._histogram(BATCH_SECONDS, SECONDS)
        self._batch_records = self._histogram(BATCH_RECORDS, SIZES)
        self._commit_seconds = self._histogram(COMMIT_SECONDS, SECONDS)
        self._stations = self._counter(STATION_SECONDS)
        self._requests = self._counter(REQUESTS)
        self._request_seconds = self._histogram(REQUEST_SECONDS, SECONDS)
        self.streams_open = Gauge(STREAMS_OPEN.name, STREAMS_OPEN.help, registry=self.registry)
        self.streams_dropped = self._counter(STREAMS_DROPPED)
        self._worker_stuck = Gauge(WORKER_STUCK.name, WORKER_STUCK.help, registry=self.registry)
        self._trouble: Callable[[], str | None] | None = None
        self._audited = self._counter(AUDITED)
        self._audit_differences = self._counter(AUDIT_DIFFERENCES)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(metric.name, metric.help, metric.labels, registry=self.registry, buckets=buckets)

    @property
    def uptime_s(self) -> float:
        """Seconds since they were made, which is when the process began with its work."""
        return monotonic() - self._began

    def watch(self, trouble: Callable[[], str | None]) -> None:
        """Take a projector's word on its health: a sentence while it is stuck."""
        self._trouble = trouble
        self._worker_stuck.set_function(lambda: float(trouble() is not None))

    @property
    def is_watched(self) -> bool:
        """Whether a projector says itself how it is."""
        return self._trouble is not None

    @property
    def trouble(self) -> str | None:
        """What it says; None: it gets on, or nobody is asked."""
        return None if self._trouble is None else self._trouble()

    def on_progress(self, progress: Progress) -> None:
        """Take a batch that was committed."""
        batch = progress.batch
        self._batch_seconds.observe(batch.seconds)
        self._batch_records.observe(batch.records)
        self._commit_seconds.observe(batch.stations.commit)
        for station in batch.stations.__struct_fields__:
            self._stations.labels(station).inc(getattr(batch.stations, station))

    def on_audit(self, tasks: int, different: int) -> None:
        """Take a sample that was folded again."""
        self._audited.inc(tasks)
        self._audit_differences.inc(different)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Take a request that was answered."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)


class Measured:
    """Around the whole app: each request is counted, those too that the gate refuses."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, method = monotonic(), str(scope["method"])

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._meters.answered(method, _route(scope), message["status"], monotonic() - began)
            await send(message)

        await self._app(scope, receive, measured)


def _route(scope: Scope) -> str:
    """The pattern of the path that was found, which is one of few."""
    return str(getattr(scope.get("route"), "path", UNROUTED))
