"""What a page was asked for: the whole state of the list of tasks, read from a URL and written into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any
from urllib.parse import urlencode

import msgspec

from tracker.errors import UsageError
from tracker.query.fields import suggestion
from tracker.query.histogram import TIMES
from tracker.query.pages import Order, parse_sorters, sorters_text
from tracker.web import wording

LIMITS = (25, 50, 100, 250)
SORTERS = "-modified"
"""What changed last comes first."""


class Column(msgspec.Struct, frozen=True):
    """One column of the table."""

    name: str
    title: str
    sorter: str | None
    """The field that it is sorted by; None: it can't be."""
    is_number: bool = False
    descends: bool = False
    """Whether the first click on its title sorts from the greatest."""


COLUMNS = {
    column.name: column
    for column in (
        Column("task", "Task", "uniqueName"),
        Column("outcome", "Status", "completionStatus"),
        Column("progress", "Progress", "percentComplete", descends=True),
        Column("launcher", "Launcher", "launcher"),
        Column("target", "Target", "target.name"),
        Column("duration", "Took", "duration", is_number=True, descends=True),
        Column("modified", "Changed", "modified", is_number=True, descends=True),
        Column("created", "Created", "created", is_number=True, descends=True),
        Column("launched", "Launched", "launched", is_number=True, descends=True),
        Column("completed", "Ended", "completed", is_number=True, descends=True),
        Column("attempt", "Attempt", "attempt", is_number=True, descends=True),
        Column("state", "State", "state"),
        Column("type", "Type", "type"),
        Column("parent", "Parent", "parentId"),
        Column("id", "Id", "id"),
        Column("description", "Description", "description"),
        Column("message", "Last message", None),
        Column("revision", "Revision", "revision", is_number=True, descends=True),
    )
}
SHOWN = ("outcome", "task", "progress", "launcher", "target", "duration", "modified")
"""Columns unless others are chosen."""
_NAMES = ("filters", "sorters", "columns", "limit", "after", "tz", "over", "panels", "live")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The list of tasks as it is looked at."""

    filters: str = ""
    sorters: str = SORTERS
    columns: tuple[str, ...] = SHOWN
    limit: int = 50
    after: str | None = None
    tz: str = ""
    """A time zone's name; empty: UTC."""
    over: str = ""
    """The time that the histogram goes over; empty: that which fits the filter."""
    panels: bool = False
    """Facets and histogram are asked for with the page."""
    live: bool = True

    @property
    def zone(self) -> tzinfo:
        """UTC where it is not known."""
        return wording.zone_of(self.tz) or UTC

    @property
    def order(self) -> Order:
        """What the list is sorted by. UsageError: no such field."""
        return parse_sorters(self.sorters)

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """The first field, and whether it descends."""
        first = self.order[0]
        return first.field.name, first.descending

    @property
    def usual_columns(self) -> tuple[str, ...]:
        """Those of who chose none."""
        return SHOWN

    def kept(self, name: str) -> str:
        """One member as a URL has it; empty where it is as usual, and so in no URL."""
        value, usual = getattr(self, name), getattr(_USUAL, name)
        return "" if value == usual else _text(value)

    def query(self, **changes: Any) -> str:
        """The URL's query, with changes: what is as it is unless told is left out. Another listing begins with its first page."""
        if changes.keys() & {"filters", "sorters", "limit"}:
            changes.setdefault("after", None)
        other = msgspec.structs.replace(self, **changes)
        parts = {name: text for name in _NAMES if (text := other.kept(name))}
        return "?" + urlencode(parts) if parts else ""

    def by(self, column: Column) -> str:
        """The sorters that a click on the column's title gives: the other way round where it is sorted so already."""
        assert column.sorter is not None
        field, descending = self.sorted_by
        down = not descending if field == column.sorter else column.descends
        return ("-" if down else "") + column.sorter


_USUAL = Place()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(value) if isinstance(value, tuple) else str(value or "")


def place(parameters: Mapping[str, str], columns: Sequence[str] = ()) -> Place:
    """From a URL's query; ``columns`` are those that a form has ticked. UsageError: what can't be."""
    given: dict[str, Any] = {name: parameters[name].strip() for name in _NAMES if parameters.get(name, "").strip()}
    if columns:
        given["columns"] = ",".join(columns)
    if "columns" in given:
        given["columns"] = _columns(given["columns"])
    if "limit" in given:
        text = given["limit"]
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LIMITS[-1]):
            raise UsageError(f'limit: expected 1 to {LIMITS[-1]} tasks on a page, found "{text[:40]}"')
        given["limit"] = int(text)
    for name in ("panels", "live"):
        if name in given:
            given[name] = given[name] == "on"
    if "over" in given and given["over"] not in TIMES:
        raise UsageError(f'over: expected one of {", ".join(TIMES)}, found "{given["over"][:40]}"')
    found = Place(**given)
    return msgspec.structs.replace(found, sorters=_short(found.order))


def _columns(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in COLUMNS:
            known = suggestion(name, COLUMNS) or "; columns are " + ", ".join(COLUMNS)
            raise UsageError(f'columns: there is no column "{name[:40]}"{known}')
    return names or SHOWN


def _short(order: Order) -> str:
    """Without the id that ends every order."""
    text = sorters_text(order)
    return text.removesuffix(",id") if len(order) > 1 else text
