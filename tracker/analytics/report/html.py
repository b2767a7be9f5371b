"""A report as one HTML file: style and pictures stand in it, nothing is loaded, nothing runs, and whatever a task's texts hold is text."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from jinja2 import Environment

from tracker.analytics.report import drawing, wording
from tracker.analytics.report.failures import MAX_KEYS
from tracker.analytics.report.findings import Findings, Measure
from tracker.analytics.report.lengths import Lengths
from tracker.templates import environment

_TEMPLATES = Path(__file__).with_name("templates")
WORDS = {
    "SUCCESS": "Success",
    "WARNING": "Warning",
    "TERMINATED": "Terminated",
    "TEMPERROR": "Temporary error",
    "ERROR": "Error",
    "RUNNING": "Running",
    "PENDING": "Pending",
    "in-flight": "Not ended",
}
_MEANINGS = {
    "SUCCESS": "ended well",
    "WARNING": "ended, with something to look at",
    "TERMINATED": "was stopped",
    "TEMPERROR": "failed for now: a launch of the same attempt goes on",
    "ERROR": "failed",
    "RUNNING": "launched, and not ended",
    "PENDING": "created, and not launched yet",
}
_MISSING = {"pending": "not launched yet", "running": "running", "neverLaunched": "that ended without having been launched"}
_SILENCES = {"10m": "10 minutes", "1h": "an hour", "1d": "a day"}
_OVER = {"created": "created", "modified": "last heard of", "launched": "launched", "completed": "completed"}
_LABEL_LAUNCHERS = 12
"""Rows of a picture; the table beside it has all 20."""


def page(found: Findings, *, store: str, title: str = "Task report") -> str:
    """The whole file; ``store`` is what it is called there. Equal findings give equal text."""
    return (
        _environment()
        .get_template("report.html")
        .render(
            found=found,
            store=store,
            title=title,
            style=(_TEMPLATES / "report.css").read_text(encoding="utf-8").strip(),
            words=WORDS,
            meanings=_MEANINGS,
            silences=_SILENCES,
            missing=_MISSING,
            share=wording.share,
            over_word=_OVER[found.over],
            unplaced=found.tasks - sum(bucket.count for bucket in found.histogram.buckets),
            outcomes=[(name, found.outcomes[name]) for name in WORDS if found.outcomes.get(name)],
            tiles=_tiles(found),
            drawn=_drawn(found),
            max_keys=MAX_KEYS,
            relative=any(word in (found.filters or "") for word in ("now", "silence", "duration")),
            commands=_commands(found),
        )
    )


@cache
def _environment() -> Environment:
    return environment(_TEMPLATES, wording.FILTERS)


def _tiles(found: Findings) -> list[tuple[str, str, str]]:
    """The few numbers that are looked for first."""
    ended = sum(count for name, count in found.outcomes.items() if name not in ("RUNNING", "PENDING"))
    well = found.outcomes.get("SUCCESS", 0) + found.outcomes.get("WARNING", 0)
    failed, took, waited = found.failures.tasks, found.ran.all, found.waited.all
    none = ("–", "nothing to measure")
    return [
        ("tasks", f"{found.tasks:,}", f"{ended:,} ended"),
        ("ended well", wording.share(well, ended), "of those that ended") if ended else ("ended well", *none),
        ("failed", f"{failed:,}", f"{wording.share(failed, ended)} of them" if ended else ""),
        (
            "not ended",
            f"{found.tasks - ended:,}",
            f"{found.outcomes.get('RUNNING', 0):,} running, {found.outcomes.get('PENDING', 0):,} pending",
        ),
        ("median duration", *_middle(took)) if took.tasks else ("median duration", *none),
        ("median wait", *_middle(waited)) if waited.tasks else ("median wait", *none),
    ]


def _middle(lengths: Lengths) -> tuple[str, str]:
    return wording.span(lengths.p50 or 0), f"p99 {wording.span(lengths.p99 or 0)}"


def _drawn(found: Findings) -> SimpleNamespace:
    """The pictures, each for a wide and a narrow page; none where there is nothing to be seen."""
    by_key = [(failure.key or "(empty)", failure.by_status) for failure in found.failures.keys]
    return SimpleNamespace(
        outcomes=drawing.outcomes(found.histogram, "Tasks over time by outcome; the table below has the numbers")
        if found.histogram.buckets
        else [],
        ran=_drawn_lengths(found.ran, "ran", "How long tasks took, by type and launcher; the table below has the numbers"),
        waited=_drawn_lengths(found.waited, "waited", "How long tasks waited, by type and launcher; the table below has the numbers"),
        failures=drawing.counts(by_key, "failures", "Failed tasks by message key; the table below has the numbers") if by_key else [],
    )


def _drawn_lengths(measure: Measure, name: str, label: str) -> list[str]:
    launchers = [(launcher or "(none)", each) for launcher, each in measure.by_launcher.items() if each.tasks][:_LABEL_LAUNCHERS]
    groups = [group for group in (list(measure.by_type.items()), launchers) if group]
    return drawing.lengths(groups, name, label) if groups else []


def _commands(found: Findings) -> list[str]:
    """What gives the same numbers on the command line."""
    where = [] if found.selection is None else ["--filter", found.selection]
    period = [word for name in ("since", "until") if (at := getattr(found, name)) for word in (f"--{name}", at)]
    filters = ["--filter", found.filters] if found.filters else []
    bucket = ["--bucket", found.histogram.bucket] if found.histogram.buckets else []
    return [
        shlex.join(["tracker", "count", *where]),
        shlex.join(["tracker", "count", *where, "--by", "completionStatus"]),
        shlex.join(["tracker", "histogram", *filters, "--over", found.over, *period, *bucket, "--by", "completionStatus"]),
    ]
