"""Log events: each has a name that stays the same, typed fields and one sentence; and how they are written.

Library code logs through ``logging``; only the command line calls `configure`. As text a line reads
``10:42:07 INFO the sentence``; as JSON it is ``{"time","level","logger","event","message", ...fields}``.
Passwords never reach a log: settings that hold one keep it out of ``repr``, and what looks like one in a URL is masked here.

Where OpenTelemetry's API is installed, a batch is a span as well (`trace_batch`; of requests FastAPI makes them itself); whoever wants them
kept sets up its SDK. Where it is not, nothing is done.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

LOGGER = "tracker"
_SECRET = re.compile(
    r"""(?ix)
    (
        (?: password | passwd | secret | token )
        # After a colon only a quoted value may stand apart: "no user or password: put them into a file" is a sentence.
        (?: ["']\s*[=:]\s* | \s*=\s* | :\s*(?=["']) | : ) ["']?
    )
    (?: (?<=")(?:[^"\\]|\\.)+ | (?<=')(?:[^'\\]|\\.)+ | [^\s"',;&]+ )
    | (?<=://) ([^/@\s:]+) : [^/@\s]+ (?=@)
    """
)


class LogEvent(NamedTuple):
    """One thing that happens and is worth a line."""

    name: str
    level: int
    sentence: str
    """With the fields in braces, as ``str.format`` takes them."""


RUN_STARTED = LogEvent("run.started", logging.INFO, "reading {source} into {store}")
RUN_PROGRESS = LogEvent(
    "run.progress",
    logging.INFO,
    "{read} records read ({records_per_second:.0f}/s): {applied} applied, {unchanged} unchanged, {ignored} ignored, {parked} parked; at {positions}",
)
RUN_STOPPING = LogEvent("run.stopping", logging.INFO, "{signal}: stopping; the running batch is committed or dropped whole")
RUN_STOPPED = LogEvent("run.stopped", logging.INFO, "stopped after {read} records in {seconds:.1f} s; the next run goes on there")
RUN_HANGS = LogEvent(
    "run.hangs",
    logging.ERROR,
    "the stop did not come to its end within {seconds:.0f} s: this process exits now, and what is committed stays. {stacks}",
)
WORKER_STUCK = LogEvent("worker.stuck", logging.ERROR, "this worker is stuck: {trouble}. {stacks}")
WORKER_MOVES = LogEvent("worker.moves", logging.WARNING, "this worker gets on again: {stage}")
WORKER_EXITS = LogEvent("worker.exits", logging.ERROR, "this worker exits, as --exit-when-stuck asks: {trouble}")
SIMULATION_STARTED = LogEvent(
    "simulation.started", logging.INFO, "{path} was missing: {events} simulated events written, and about {rate:g} more come every second"
)
RETENTION_PURGED = LogEvent("retention.purged", logging.INFO, "{tasks} tasks that ended long ago were purged in {seconds:.1f} s")
RETENTION_FAILED = LogEvent("retention.failed", logging.WARNING, "purging stopped and will be tried again: {error}")
INDEX_FAILED = LogEvent("index.failed", logging.WARNING, "the indexes of attributes fall behind, and will be brought up later: {error}")
AUDIT_PASSED = LogEvent("audit.passed", logging.INFO, "{tasks} tasks were folded again from {read} records: they are what the store has")
AUDIT_DIFFERENT = LogEvent(
    "audit.different",
    logging.ERROR,
    "{task} is not what its log says, field {field}: see 'tracker verify', and mend it with 'tracker rebuild'",
)
AUDIT_FAILED = LogEvent("audit.failed", logging.WARNING, "tasks could not be folded again this time: {error}")
PUBLISH_BEGUN = LogEvent("publish.begun", logging.INFO, "publishing to {topic}: {reason}")
PUBLISH_RESUMED = LogEvent(
    "publish.resumed", logging.INFO, "publishing to {topic}: going on after revision {revision} (publication {publication})"
)
PUBLISH_PROGRESS = LogEvent(
    "publish.progress",
    logging.INFO,
    "{statuses} statuses and {tombstones} tombstones published ({records_per_second:.0f}/s), up to revision {revision}",
)
PUBLISH_STOPPED = LogEvent(
    "publish.stopped",
    logging.INFO,
    "stopped after {statuses} statuses and {tombstones} tombstones in {seconds:.1f} s, at revision {revision}; the next run goes on there",
)
WEB_STARTED = LogEvent("web.started", logging.INFO, "answering at {url}, {login}")
WEB_STOPPING = LogEvent("web.stopping", logging.INFO, "{signal}: stopping; answers under way are finished")
WEB_REQUEST = LogEvent("web.request", logging.DEBUG, "{method} {path} {status} in {seconds:.3f} s for {client}")
WEB_REFUSED = LogEvent("web.refused", logging.INFO, "{method} {path} refused with {status} to {client}")
WEB_FAILED = LogEvent("web.failed", logging.ERROR, "a request failed, trackingId {tracking_id}: {error}")
EVENTS = (
    AUDIT_PASSED,
    AUDIT_DIFFERENT,
    AUDIT_FAILED,
    RUN_STARTED,
    RUN_PROGRESS,
    RUN_STOPPING,
    RUN_STOPPED,
    RUN_HANGS,
    WORKER_STUCK,
    WORKER_MOVES,
    WORKER_EXITS,
    SIMULATION_STARTED,
    RETENTION_PURGED,
    RETENTION_FAILED,
    INDEX_FAILED,
    PUBLISH_BEGUN,
    PUBLISH_RESUMED,
    PUBLISH_PROGRESS,
    PUBLISH_STOPPED,
    WEB_STARTED,
    WEB_STOPPING,
    WEB_REQUEST,
    WEB_REFUSED,
    WEB_FAILED,
)
"""All events that have a name, for the reference."""


def say(event: LogEvent, **fields: object) -> None:
    """Log one event with its fields."""
    log = logging.getLogger(f"{LOGGER}.{event.name.partition('.')[0]}")
    if log.isEnabledFor(event.level):
        log.log(event.level, "%s", event.sentence.format(**fields), extra={"tracker_event": event.name, "tracker_fields": fields})


def masked(text: str) -> str:
    """The text without what looks like a password."""
    return _SECRET.sub(lambda match: f"{match[1]}***" if match[1] else f"{match[2]}:***", text)


class _TextFormat(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        text = masked(record.getMessage())
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{clock} {record.levelname} {text}"


class _JsonFormat(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "tracker_event", None),
            "message": masked(record.getMessage()),
        }
        for name, value in getattr(record, "tracker_fields", {}).items():
            line[name] = value if isinstance(value, int | float | bool | None) else masked(str(value))
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)


class _Handler(logging.Handler):
    """Writes to what standard error is at that moment: a live view puts itself in its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            self.handleError(record)


def configure(level: str = "info", format_: str = "text") -> logging.Handler:
    """Write tracker's log to standard error. Calling it again replaces what was there."""
    log = logging.getLogger(LOGGER)
    for old in [each for each in log.handlers if isinstance(each, _Handler)]:
        log.removeHandler(old)
    handler = _Handler()
    handler.setFormatter(_JsonFormat() if format_ == "json" else _TextFormat())
    log.addHandler(handler)
    log.setLevel(level.upper())
    log.propagate = False
    return handler


@cache
def _tracer() -> Any:
    """OpenTelemetry's tracer; None where its API is not installed."""
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.get_tracer(LOGGER)


def trace_batch(records: int, seconds: float, stations: Mapping[str, float]) -> None:
    """One span for a batch that has just been committed: ``seconds`` long until now, with the seconds spent at each station."""
    tracer = _tracer()
    if tracer is None:
        return
    ended_ns = time.time_ns()
    attributes = {"tracker.records": records} | {f"tracker.{name}_seconds": spent for name, spent in stations.items()}
    tracer.start_span("tracker.batch", start_time=ended_ns - int(seconds * 1e9), attributes=attributes).end(ended_ns)
