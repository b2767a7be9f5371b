"""How many tasks were created, changed, launched or ended in each stretch of time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tracker.errors import UsageError
from tracker.model.times import to_datetime
from tracker.query.base import Filters, Question, Snapshot, field_named, parsed
from tracker.query.fields import FIELDS, Field, suggestion
from tracker.query.filters import parse
from tracker.query.tree import Compare, Moment, Node, all_of

TIMES = ("created", "modified", "launched", "completed")
MAX_BUCKETS = 2_000
CHOSEN_BUCKETS = 120
"""A screen is as wide; the widths below are at most six times as wide as the one before, so a chosen one gives 20 or more."""
CHOICES = ("1s", "5s", "15s", "1m", "5m", "15m", "1h", "3h", "12h", "1d", "7d", "30d", "90d", "365d", "1500d", "9000d", "36500d")
MAX_VALUES = 20
"""Values of ``by`` that are told apart: those that most tasks have."""
_BUCKET = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LENGTH = {"s": 19, "m": 16, "h": 13, "d": 10}
"""Characters of a time's text that name the second, minute, hour and day."""
_FIRST = "0001-01-01T00:00:00.000000"
FIRST = to_datetime(_FIRST)
"""Buckets are counted from here, a Monday: those of 7 days are weeks."""


class Bucket(msgspec.Struct):
    """The tasks whose time is not before ``start`` and before the next bucket's."""

    start: str
    """``2026-01-31T09:00:00.000Z``."""
    count: int
    counts: list[int]
    """Of each of the histogram's values; what they leave of ``count`` has another value."""


class Histogram(msgspec.Struct, kw_only=True):
    """All buckets from the first to the last, empty ones included. Tasks without the time are in none."""

    field: str
    bucket: str
    """Width: a number and ``s``, ``m``, ``h`` or ``d``."""
    by: str | None
    values: list[str | int | None]
    """Values of ``by`` that are told apart, ascending, null last; at most 20, those that most matching tasks have."""
    buckets: list[Bucket]

    def to_json(self) -> dict[str, Any]:
        """``{"field", "bucket", "by", "values", "buckets": [{"start", "count", "counts"}]}``."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document


def histogram(
    filters: Filters = None,
    field: str = "created",
    *,
    bucket: str | None = None,
    since: str | None = None,
    until: str | None = None,
    by: str | None = None,
    now: datetime | None = None,
) -> Question[Histogram]:
    """Matching tasks by a time, ``since`` (included) ``until`` (excluded), written as in filters; a width is chosen if none is given.

    UsageError, when it is asked too: more than 2,000 buckets.
    """
    if field not in TIMES:
        raise UsageError(f'a histogram is over {", ".join(TIMES)}, not "{field}"{suggestion(field, TIMES)}')
    if bucket is not None:
        _width(bucket)
    time, values_of = FIELDS[field], None if by is None else field_named(by, "a histogram is by")
    first, last = bounds(field, since, until, now)
    where = within(parsed(filters, now), first, last)

    def question(snapshot: Snapshot) -> Histogram:
        ends = None if first and last else snapshot.ends(where, time)
        low = _moment(first) if first else ends and to_datetime(ends[0][:26])
        end = _moment(last) if last else ends and to_datetime(ends[1][:26])
        found = Histogram(field=field, bucket=bucket or CHOICES[0], by=by, values=[], buckets=[])
        if low and end and (low < end if last else low <= end):
            high = end - timedelta(microseconds=1) if last else end  # nothing is before the first moment of year 1
            found.bucket = bucket or _chosen(low, high)
            _fill(found, snapshot, where, time, values_of, low, high)
        return found

    return question


def bounds(field: str, since: str | None, until: str | None, now: datetime | None = None) -> tuple[Compare | None, Compare | None]:
    """The beginning and the end of a period, as filters. UsageError: one is no time."""
    return _bound("since", f'{field} ge "{since}"', since, now), _bound("until", f'{field} lt "{until}"', until, now)


def within(*nodes: Node | None) -> Node | None:
    """All of these that are there, joined by ``and``; None if none is."""
    parts = [node for node in nodes if node is not None]
    return all_of(parts) if parts else None


def _fill(found: Histogram, snapshot: Snapshot, where: Node | None, time: Field, by: Field | None, low: datetime, high: datetime) -> None:
    width = _width(found.bucket)
    start, end = (low - FIRST) // width, (high - FIRST) // width
    if end - start >= MAX_BUCKETS:
        raise UsageError(
            f"{end - start + 1:,} buckets of {found.bucket} are more than {MAX_BUCKETS:,}: ask for wider ones, or for less time"
        )
    most = {} if by is None else snapshot.counts(where, by, limit=MAX_VALUES)
    found.values = sorted(most, key=lambda value: (value is None, value))
    place = {value: number for number, value in enumerate(found.values)}
    found.buckets = [Bucket(_start(number, width), 0, [0] * len(place)) for number in range(start, end + 1)]
    length = _LENGTH[found.bucket[-1]]
    for beginning, value, count in snapshot.moments(where, time, length, by):
        bucket = found.buckets[(to_datetime(beginning + _FIRST[length:]) - FIRST) // width - start]
        bucket.count += count
        if value in place:
            bucket.counts[place[value]] += count
    # Tasks without the time may have a value that no other has: nothing of it is in any bucket.
    seen = [number for number in place.values() if any(bucket.counts[number] for bucket in found.buckets)]
    if len(seen) < len(place):
        found.values = [found.values[number] for number in seen]
        for bucket in found.buckets:
            bucket.counts = [bucket.counts[number] for number in seen]


def _start(number: int, width: timedelta) -> str:
    return (FIRST + number * width).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _width(bucket: str) -> timedelta:
    match = _BUCKET.fullmatch(bucket)
    if match is None:
        raise UsageError(f'expected a width of buckets such as 30s, 5m, 1h or 7d, found "{bucket}"')
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _chosen(low: datetime, high: datetime) -> str:
    return next(each for each in CHOICES if (high - FIRST) // _width(each) - (low - FIRST) // _width(each) < CHOSEN_BUCKETS)


def _bound(name: str, filter_: str, text: str | None, now: datetime | None) -> Compare | None:
    """The bound as a filter has it, so that it is written and means the same."""
    if text is None:
        return None
    try:
        if '"' in text or "\\" in text:
            raise UsageError("a time has no quotes")
        node = parse(filter_, now=now)
    except UsageError:
        raise UsageError(f'{name}: expected a time such as 2026-01-31, 2026-01-31T09:30:00Z or now-2h, found "{text}"') from None
    assert isinstance(node, Compare)
    return node


def _moment(node: Compare) -> datetime:
    assert isinstance(node.value, Moment)
    prefix = node.value.prefix
    return to_datetime(prefix + _FIRST[len(prefix) :])
