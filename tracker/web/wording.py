"""How the dashboard words what it shows: times, lengths of time, numbers, and texts of any size and kind."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

CELL_CHARS = 160
"""Of one value in a table; all of it stands on the task's own page and in the raw JSON."""
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What HTML has no character for, and what would turn the text around it about; the command line marks them likewise."""


class Outcome(NamedTuple):
    """How a task stands, in one word, with the name of its icon and colour."""

    name: str
    word: str
    filter: str
    means: str


OUTCOMES = (
    Outcome("PENDING", "Pending", 'state eq "PENDING"', "created, and not launched yet"),
    Outcome("RUNNING", "Running", 'state eq "RUNNING"', "launched, and not ended"),
    Outcome("SUCCESS", "Success", 'completionStatus eq "SUCCESS"', "ended well"),
    Outcome("WARNING", "Warning", 'completionStatus eq "WARNING"', "ended, with something to look at"),
    Outcome("ERROR", "Error", 'completionStatus eq "ERROR"', "failed"),
    Outcome("TERMINATED", "Terminated", 'completionStatus eq "TERMINATED"', "was stopped"),
    Outcome("TEMPERROR", "Temporary error", 'completionStatus eq "TEMPERROR"', "failed for now: a launch of the same attempt goes on"),
)
BY_NAME = {outcome.name: outcome for outcome in OUTCOMES}


def outcome(task: dict[str, Any]) -> Outcome:
    """Of a document with the extension."""
    return BY_NAME[task["completionStatus"] or task["tracker"]["state"]]


def zone_of(name: str | None) -> tzinfo | None:
    """The time zone of a name such as Europe/Berlin; None: there is none such. UTC unless named."""
    if not name or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def instant(text: str) -> datetime:
    """A time of a document."""
    return datetime.fromisoformat(text)


def absolute(text: str, zone: tzinfo) -> str:
    """A time in full: ``2026-01-31 09:30:00.123 UTC``."""
    try:
        moment = instant(text).astimezone(zone)
    except (OverflowError, ValueError):  # year 1 or 9999, moved across the end
        moment = instant(text)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} {moment.tzname()}"


def relative(text: str, now: datetime) -> str:
    """How long before ``now``; a date where that is long ago. The clocks of two machines differ by a little: that is now."""
    seconds = (now - instant(text)).total_seconds()
    if seconds < -5:
        return f"in {span(-seconds)}"
    return f"{span(max(0.0, seconds))} ago" if seconds < 7 * 86_400 else text[:10]


def span(seconds: float) -> str:
    """A length of time, never negative: 0.4 s, 12 s, 3 min 07 s, 2 h 05 min, 3 d 04 h."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def took(task: dict[str, Any], now: datetime) -> str | None:
    """How long the attempt took, or takes by now; None if it was not launched."""
    if task["launched"] is None:
        return None
    end = instant(task["completed"]) if task["completed"] else now
    return span((end - instant(task["launched"])).total_seconds())


def number(value: float) -> str:
    """With commas between thousands."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def size(value: int) -> str:
    """Bytes for people."""
    amount, unit = float(value), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):  # noqa: B007 - the last one stays
        if amount < 1_000:
            break
        amount /= 1_000
    return f"{value} B" if unit == "B" else f"{amount:.1f} {unit}"


def clean(text: str) -> str:
    """With a mark in place of control characters."""
    return _CONTROLS.sub("\ufffd", text)


def cut(text: str, chars: int = CELL_CHARS) -> str:
    """As much of it as there is room for."""
    return clean(text if len(text) <= chars else text[:chars] + "…")


def compact(value: Any, chars: int = CELL_CHARS) -> str:
    """Any JSON value in one line: text as it is, all else as JSON."""
    return cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), chars)


def pretty(value: Any, chars: int = 200_000) -> str:
    """Any JSON value over several lines."""
    return cut(json.dumps(value, ensure_ascii=False, indent=2), chars)


def in_query(text: str) -> str:
    """Text as one value of a query."""
    return quote(text, safe="")


def literal(value: str) -> str:
    """Text as a filter has it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


FILTERS = {
    "absolute": absolute,
    "relative": relative,
    "span": span,
    "number": number,
    "size": size,
    "cut": cut,
    "clean": clean,
    "compact": compact,
    "pretty": pretty,
    "q": in_query,
    "segment": in_query,
    "literal": literal,
}
"""For templates."""
