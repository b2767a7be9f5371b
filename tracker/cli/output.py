"""What commands write: JSON as scripts rely on it, and text for people."""

from __future__ import annotations

import csv
import json
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_STATE_STYLES = {"PENDING": "yellow", "RUNNING": "cyan", "COMPLETED": "green"}
_STATUS_STYLES = {"SUCCESS": "green", "WARNING": "yellow", "ERROR": "red", "TERMINATED": "magenta", "TEMPERROR": "yellow"}
BAR_CELLS = 10


def to_json(document: object) -> str:
    """Compact JSON: numbers as Python's ``json`` writes them, every character as itself."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def write_line(text: str) -> None:
    """One line on standard output."""
    typer.echo(text)


def write_json(document: object) -> None:
    """One document on one line of standard output."""
    write_line(to_json(document))


def csv_writer(file: TextIO, *, extension: bool = False) -> Any:
    """A function that writes a document as a row of CSV (RFC 4180 but for line ends): null is empty, objects and arrays are JSON."""
    from tracker.model.status import TaskStatus

    names = [field.alias or name for name, field in TaskStatus.model_fields.items()] + (["tracker"] if extension else [])
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(names)

    def cell(value: Any) -> Any:
        return "" if value is None else value if isinstance(value, str | int) else to_json(value)

    def write(document: dict[str, Any]) -> None:
        rows.writerow([cell(document[name]) for name in names])

    return write


def note(text: str) -> None:
    """One line for people on standard error."""
    typer.echo(text, err=True)


def is_terminal() -> bool:
    """Whether somebody looks at standard output."""
    return sys.stdout.isatty()


def console(*, error: bool = False) -> Console:
    """A Rich console without markup and highlighting: what events hold is text, not format."""
    from rich.console import Console

    return Console(stderr=error, markup=False, highlight=False, emoji=False)


def visible(text: str) -> str:
    """The text with a mark in place of each control character: an event's text can't steer the terminal."""
    return _CONTROLS.sub("\ufffd", text)


def plain(value: Any) -> str:
    """One value for a cell: text as it is, - for null, anything else as JSON."""
    if value is None:
        return "-"
    return visible(value if isinstance(value, str) else to_json(value))


def state_of(document: dict[str, Any]) -> str:
    """The state that the 18 keys tell."""
    return "COMPLETED" if document["completionStatus"] else "RUNNING" if document["launched"] else "PENDING"


def styled(word: str | None) -> Text:
    """A state or a completion status in its colour."""
    from rich.text import Text

    return Text(word or "-", style=(_STATE_STYLES | _STATUS_STYLES).get(word or "", ""))


def bar(percent: int, state: str) -> Text:
    """A progress bar of 10 cells with the per cent beside it."""
    from rich.text import Text

    full = percent * BAR_CELLS // 100
    text = Text("━" * full, style=_STATE_STYLES.get(state, ""))
    text.append("━" * (BAR_CELLS - full), style="bright_black")
    text.append(f" {percent:3d}%")
    return text


def moment(text: str) -> datetime:
    """A time of a document as a datetime."""
    return datetime.fromisoformat(text)


def local_time(text: str | None) -> str:
    """A time of a document for people: in UTC, to the second."""
    return "-" if text is None else text[:19].replace("T", " ") + "Z"


def duration(document: dict[str, Any], now: datetime | None = None) -> str:
    """How long the current attempt took, or takes since it was launched."""
    if document["launched"] is None:
        return "-"
    end = moment(document["completed"]) if document["completed"] else (now or datetime.now(UTC))
    return span((end - moment(document["launched"])).total_seconds())


def ago(text: str | None, now: datetime) -> str:
    """How long before ``now`` a time of a document was; a date where that is long ago or in the future."""
    if text is None:
        return "-"
    seconds = (now - moment(text)).total_seconds()
    return f"{span(max(0.0, seconds))} ago" if -2 < seconds < 86400 else text[:10]


def span(seconds: float) -> str:
    """Seconds for people: 0.4s, 12s, 3m07s, 2h05m, 3d04h."""
    if seconds < 0:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
