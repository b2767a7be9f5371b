"""What takes longer than the list: facets, and the histogram by outcome. They follow in an answer of their own, with its revision."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from tracker.query import questions
from tracker.query.base import Question, Snapshot
from tracker.query.clauses import split
from tracker.query.fields import FIELDS
from tracker.query.histogram import Histogram, histogram
from tracker.query.questions import SCAN_LIMIT
from tracker.web import wording
from tracker.web.dashboard.place import Place
from tracker.web.dashboard.selecting import Selection, equals

TARGET, TARGET_ID = "target.name", "target.id"
FACETS = (("type", "Type"), ("launcher", "Launcher"), (TARGET, "Target"), ("parentId", "Parent"))
MANY = 50_000
"""Tasks whose targets are counted by name. No index has names: a million takes 1.2 s, and by the target's id 0.1."""
VALUES = 8
"""Of a facet that are told apart."""
IN_FLIGHT = [outcome.filter for outcome in wording.OUTCOMES[:2]]
"""What has not ended: of that a histogram of ends would be empty."""
CHART_WIDTH, CHART_HEIGHT = 1_000, 80
"""Of the histogram's own units."""


class Value(msgspec.Struct):
    """One value of a facet."""

    value: str | int | None
    count: int
    chosen: bool
    excluded: bool


class Facet(msgspec.Struct):
    """A field's values, those that most tasks have first; counted without what the filter says of this field."""

    field: str
    title: str
    values: list[Value]
    other: int


class Bar(msgspec.Struct):
    """One bucket: where it stands, and its outcomes from the bottom up."""

    start: str
    end: str
    x: float
    width: float
    count: int
    parts: list[tuple[str, float, float]]
    """Outcome, y, height."""
    told: str


class Panels(msgspec.Struct):
    """All of them, of one snapshot."""

    facets: list[Facet]
    over: str
    """The time that the bars are of."""
    bars: list[Bar]
    most: int
    bucket: str
    limited: bool
    """The filter has to be decided task by task, and there are too many: nothing was counted."""


def panels(selection: Selection, at: Place, now: datetime) -> Question[Panels]:
    """Facets and histogram of a selection."""
    over = at.over or ("created" if any(map(selection.has, IN_FLIGHT)) else "completed")
    chart = histogram(selection.where, over, by="completionStatus", now=now)

    def question(snapshot: Snapshot) -> Panels:
        where = selection.where
        if where is not None and split(where)[1] is not None and not questions.count(where, scan_limit=SCAN_LIMIT)(snapshot).exact:
            return Panels([], over, [], 0, "", limited=True)
        facets = [_facet(snapshot, selection, field, title) for field, title in FACETS]
        made = chart(snapshot)
        return Panels(facets, over, _bars(made), max((each.count for each in made.buckets), default=0), made.bucket, limited=False)

    return question


def _facet(snapshot: Snapshot, selection: Selection, field: str, title: str) -> Facet:
    rest = selection.without((field,))
    if field == TARGET and snapshot.count(rest, stop=MANY + 1) > MANY:
        field, rest = TARGET_ID, selection.without((TARGET, TARGET_ID))
    found = snapshot.counts(rest, FIELDS[field], limit=VALUES + 1)
    ordered = sorted(found.items(), key=lambda item: (item[0] is None, -item[1], item[0]))[:VALUES]
    values = [
        Value(value, count, selection.has(equals(field, value)), selection.has(f"not {equals(field, value)}")) for value, count in ordered
    ]
    return Facet(field, title, values, max(0, len(found) - len(ordered)))


def _bars(made: Histogram) -> list[Bar]:
    buckets = made.buckets
    if not buckets:
        return []
    most, width = max(each.count for each in buckets) or 1, CHART_WIDTH / len(buckets)
    names = [str(value) if value is not None else "RUNNING" for value in made.values]
    order = sorted(range(len(names)), key=lambda at: _ORDER.index(names[at]) if names[at] in _ORDER else len(_ORDER))
    length = _length_of(made)
    bars = []
    for number, bucket in enumerate(buckets):
        y, parts = float(CHART_HEIGHT), list[tuple[str, float, float]]()
        for at in order:
            if bucket.counts[at]:
                height = CHART_HEIGHT * bucket.counts[at] / most
                y -= height
                parts.append((names[at], round(y, 2), round(height, 2)))
        end = buckets[number + 1].start if number + 1 < len(buckets) else _plus(bucket.start, length)
        told = ", ".join(f"{bucket.counts[at]:,} {_word(names[at])}" for at in order if bucket.counts[at])
        bars.append(Bar(bucket.start, end, round(number * width, 2), round(width, 2), bucket.count, parts, told or "none"))
    return bars


_ORDER = ("SUCCESS", "WARNING", "TEMPERROR", "TERMINATED", "ERROR", "RUNNING")


def _word(name: str) -> str:
    return "in flight" if name == "RUNNING" else wording.BY_NAME[name].word.lower()


def _length_of(made: Histogram) -> float:
    return int(made.bucket[:-1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[made.bucket[-1]]


def _plus(start: str, seconds: float) -> str:
    try:
        end = wording.instant(start) + timedelta(seconds=seconds)
    except OverflowError:
        return "9999-12-31T23:59:59.999Z"
    return f"{end.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
