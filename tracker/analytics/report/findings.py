"""What a report tells, as a question of one snapshot: its tasks are those that match a filter and have a time in a period.

The rows are read once, only the columns that are needed, and kept as counts, so that memory does not grow with the store. Nothing that is
told depends on the order in which they come.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from tracker.analytics.report.failures import Failures, failures
from tracker.analytics.report.lengths import Lengths, Tally
from tracker.analytics.report.top import Top
from tracker.fold.event import stamp_time
from tracker.model.times import shown
from tracker.query.base import Filters, Question, Row, Snapshot, parsed
from tracker.query.fields import FIELDS
from tracker.query.freshness import freshness
from tracker.query.histogram import Histogram, bounds, histogram, within
from tracker.query.pages import parse_sorters
from tracker.query.tree import Compare, Moment, Node

MAX_LAUNCHERS = 20
"""Launchers that are told apart: those of most tasks."""
LISTED = 20
"""Tasks of a list."""
SILENCES = {"10m": timedelta(minutes=10), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
TOLD_EVERY = 1_000
"""Rows between two words on the progress."""
_COLUMNS = ("id", "type", "launcher", "state", "completionStatus", "attempt", "created", "modified", "launched", "completed")
_RETRIED = Compare(FIELDS["attempt"], "gt", 1)
_BY_ATTEMPT = parse_sorters("attempt")
"""By no index, so that the table is read as it stands: by the ids' one each of its tasks would be looked for."""
_MICROSECOND = timedelta(microseconds=1)
_Group: TypeAlias = tuple[str, str | None]
"""A type and a launcher; None: any of those that are not told apart."""
Told = Callable[[int], None]
"""Is told now and then how many tasks were looked at."""


class Measure(msgspec.Struct, kw_only=True, rename="camel"):
    """One length of time of the report's tasks: ``all.tasks``, ``negative`` and the values of ``missing`` add up to them."""

    all: Lengths
    by_type: dict[str, Lengths]
    """Ascending."""
    by_launcher: dict[str, Lengths]
    """The 20 launchers of most tasks, those first; ``""`` is none."""
    other_launchers: Lengths
    negative: int
    """Tasks that by their times came to the end before the beginning: clocks that differ. They are in no percentile."""
    missing: dict[str, int]
    """Tasks that do not have it: ``pending``, ``running``, or ``neverLaunched``, ended without that."""
    later_attempts: int
    """Of the measured ones, those in a second attempt or a later one."""


class Listed(msgspec.Struct, rename="camel"):
    """One task of a list."""

    id: str
    unique_name: str
    type: str
    launcher: str
    outcome: str
    """The completionStatus, or the state of a task that has not ended."""
    launched: str | None
    completed: str | None
    modified: str
    microseconds: int
    """How long it took, or has been silent."""


class Silent(msgspec.Struct, rename="camel"):
    """Tasks that run: how many are silent for longer than some lengths of time, and which are so the longest."""

    running: int
    longer_than: dict[str, int]
    longest: list[Listed]


class Findings(msgspec.Struct, kw_only=True, rename="camel"):
    """All that a report tells, of one revision of a store."""

    revision: int
    newest_event_time: str | None
    """The greatest time of all events that the store has read."""
    lag_records: int | None
    """How far the logs were ahead; None: not known."""
    asked_at: str
    """The moment that ages and relative times count from."""
    filters: str | None
    """As it was given; None: all tasks."""
    over: str
    """The time that the period is of."""
    since: str | None
    until: str | None
    """Where the period begins (included) and ends (excluded); None: it does not."""
    tasks: int
    """How many there are, and were looked at."""
    outcomes: dict[str, int]
    """Tasks of each completionStatus, and RUNNING and PENDING ones."""
    histogram: Histogram
    """By ``over`` and completionStatus."""
    ran: Measure
    """From launched to completed, of the current attempt."""
    waited: Measure
    """From created to the first launch that is known, of whichever attempt."""
    failures: Failures
    slowest: list[Listed]
    """Those that took longest from launched to completed."""
    silent: Silent

    @property
    def selection(self) -> str | None:
        """The tasks of the report as one filter, its period as absolute times; None: all tasks."""
        parts = [f"({self.filters})"] if self.filters and (self.since or self.until) else [self.filters] if self.filters else []
        if self.since:
            parts.append(f'{self.over} ge "{self.since}"')
        if self.until:
            parts.append(f'{self.over} lt "{self.until}"')
        return " and ".join(parts) or None

    def to_json(self) -> dict[str, Any]:
        """The shape of ``report --json``: lengths of time are whole microseconds, times as statuses have them."""
        return {**msgspec.to_builtins(self), "selection": self.selection}


def selected(
    filters: Filters = None, over: str = "created", *, since: str | None = None, until: str | None = None, now: datetime
) -> Node | None:
    """The filter of a report's tasks. UsageError: something of it is wrong."""
    return within(parsed(filters, now), *bounds(over, since, until, now))


def findings(
    filters: Filters = None,
    over: str = "created",
    *,
    since: str | None = None,
    until: str | None = None,
    bucket: str | None = None,
    now: datetime,
    told: Told = lambda _number: None,
) -> Question[Findings]:
    """What there is to be told of the tasks that match and, where a period is given, have their time ``over`` in it.

    The arguments are those of `tracker.query.histogram`; ``now`` (aware) is the moment that ages and relative times count from.
    UsageError: one of them is wrong, or the buckets are too many.
    """
    drawn = histogram(filters, over, bucket=bucket, since=since, until=until, by="completionStatus", now=now)
    where = selected(filters, over, since=since, until=until, now=now)
    first, last = bounds(over, since, until, now)

    def question(snapshot: Snapshot) -> Findings:
        launchers = [str(name) for name in snapshot.counts(where, FIELDS["launcher"], limit=MAX_LAUNCHERS)]
        scan = _Scan(launchers, now)
        told(0)
        for values in snapshot.values(where, [FIELDS[name] for name in _COLUMNS]):
            scan.take(*values)
            if scan.tasks % TOLD_EVERY == 0:
                told(scan.tasks)
        for row in snapshot.rows(within(where, _RETRIED), _BY_ATTEMPT):
            scan.take_retried(row)
        fresh = freshness(now)(snapshot)
        return Findings(
            revision=fresh.revision,
            newest_event_time=fresh.newest_event_time and shown(fresh.newest_event_time),
            lag_records=fresh.lag_records,
            asked_at=shown(now.isoformat(timespec="microseconds")),
            filters=filters if isinstance(filters, str) else None if filters is None else "(given as a tree)",
            over=over,
            since=_text(first),
            until=_text(last),
            tasks=scan.tasks,
            outcomes=dict(sorted(scan.outcomes.items())),
            histogram=drawn(snapshot),
            ran=scan.ran,
            waited=scan.waited,
            failures=failures(snapshot, where),
            slowest=[_listed(snapshot, id, length) for length, id in scan.slowest.told()],
            silent=Silent(
                scan.outcomes["RUNNING"],
                dict(scan.silences),
                [_listed(snapshot, id, length) for length, id in scan.silent.told()],
            ),
        )

    return question


def _text(bound: Compare | None) -> str | None:
    """A bound as a filter would have it."""
    if bound is None:
        return None
    assert isinstance(bound.value, Moment)
    return bound.value.prefix + "Z"


def _listed(snapshot: Snapshot, id: str, length_us: int) -> Listed:
    row = snapshot.task(id)
    assert row is not None
    columns = row.columns
    assert columns is not None, "it is of this snapshot"
    return Listed(
        id=id,
        unique_name=columns.unique_name,
        type=columns.type,
        launcher=columns.launcher,
        outcome=columns.completion_status or columns.state,
        launched=columns.launched and shown(columns.launched),
        completed=columns.completed and shown(columns.completed),
        modified=shown(columns.modified),
        microseconds=length_us,
    )


class _Scan:
    """What is kept of the rows."""

    def __init__(self, launchers: list[str], now: datetime) -> None:
        self._launchers, self._now = launchers, now
        self.tasks = 0
        self.outcomes: Counter[str] = Counter()
        self._ran, self._waited = _Measured(), _Measured()
        self.slowest, self.silent = Top(LISTED), Top(LISTED)
        self.silences = dict.fromkeys(SILENCES, 0)

    def take(
        self,
        id: str,
        type: str,
        launcher: str,
        state: str,
        status: str | None,
        attempt: int,
        created: str,
        modified: str,
        launched: str | None,
        completed: str | None,
    ) -> None:
        """One task."""
        self.tasks += 1
        self.outcomes[status or state] += 1
        group = (type, launcher if launcher in self._launchers else None)
        if launched is None:
            why = "pending" if completed is None else "neverLaunched"
            self._ran.missing[why] += 1
            if attempt == 1:
                self._waited.missing[why] += 1
        else:
            began = datetime.fromisoformat(launched)
            if attempt == 1:
                self._waited.add((began - datetime.fromisoformat(created)) // _MICROSECOND, group, attempt)
            if completed is None:
                self._ran.missing["running"] += 1
            else:
                took_us = (datetime.fromisoformat(completed) - began) // _MICROSECOND
                self._ran.add(took_us, group, attempt)
                self.slowest.add(took_us, id)
        if state == "RUNNING":
            silence = self._now - datetime.fromisoformat(modified)
            self.silent.add(silence // _MICROSECOND, id)
            for name, least in SILENCES.items():
                self.silences[name] += silence > least

    def take_retried(self, row: Row) -> None:
        """One of those tasks that is in a later attempt: which was the first to be launched no column tells."""
        columns, first = row.columns, next((entry.launched for entry in row.state.attempts if entry.launched), None)
        assert columns is not None, "deleted tasks are not listed"
        if first is None:
            self._waited.missing["pending" if columns.completed is None else "neverLaunched"] += 1
            return
        group = (columns.type, columns.launcher if columns.launcher in self._launchers else None)
        waited = datetime.fromisoformat(stamp_time(first) + "Z") - datetime.fromisoformat(columns.created)
        self._waited.add(waited // _MICROSECOND, group, columns.attempt)

    @property
    def ran(self) -> Measure:
        """From launched to completed."""
        return self._ran.told(self._launchers)

    @property
    def waited(self) -> Measure:
        """From created to the first launch."""
        return self._waited.told(self._launchers)


class _Measured:
    """One length of time. Each is counted once, with its type and launcher; what is told of many of those is their union."""

    def __init__(self) -> None:
        self._groups: dict[_Group, Tally] = defaultdict(Tally)
        self.missing: Counter[str] = Counter()
        self._negative = self._later = 0

    def add(self, length_us: int, group: _Group, attempt: int) -> None:
        if length_us < 0:
            self._negative += 1
            return
        self._later += attempt > 1
        self._groups[group].add(length_us)

    def told(self, launchers: list[str]) -> Measure:
        return Measure(
            all=self._of(lambda _type, _launcher: True),
            by_type={name: self._of(lambda type, _, name=name: type == name) for name in sorted({type for type, _ in self._groups})},
            by_launcher={name: self._of(lambda _, launcher, name=name: launcher == name) for name in launchers},
            other_launchers=self._of(lambda _, launcher: launcher is None),
            negative=self._negative,
            missing=dict(sorted(self.missing.items())),
            later_attempts=self._later,
        )

    def _of(self, belongs: Callable[..., bool]) -> Lengths:
        return Tally.union(tally for group, tally in self._groups.items() if belongs(*group)).told()
