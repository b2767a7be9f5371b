"""Whether a page is new: what it says when the projector is behind, does not get on, or is gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tracker.model.records import Position
from tracker.stores.base import Counters, PartitionStatus
from tracker.web.dashboard.pulse import SAMPLE_S, STUCK_S, Pulse, Sample
from tracker.web.dashboard.standing import standing

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Snapshot:
    """As far as it is asked."""

    store = "s"

    def __init__(self, *partitions: PartitionStatus) -> None:
        self._partitions = partitions

    def revision(self) -> int:
        return 7

    def partitions(self) -> tuple[PartitionStatus, ...]:
        return self._partitions


def partition(lag: int, *, seen_s: float | None = 0.0, newest_s: float = 0.0) -> PartitionStatus:
    """At offset 100 of a topic, so many records before the end, which was seen so many seconds ago."""
    seen = None if seen_s is None else (NOW - timedelta(seconds=seen_s)).isoformat()
    newest = (NOW - timedelta(seconds=newest_s)).replace(tzinfo=None).isoformat(timespec="microseconds")
    return PartitionStatus(
        position=Position("t", 0, 100, "kafka:x"), counters=Counters(read=100, applied=100), newest_event_time=newest,
        end_offset=None if seen is None else 100 + lag, end_seen_at=seen, committed_at=seen,
    )  # fmt: skip


def pulse(*samples: tuple[int, int | None, float | None]) -> Pulse:
    """Looks of records read, lag in records and in seconds, one after the other."""
    made = Pulse()
    for number, sample in enumerate(samples):
        made.add(Sample(number * SAMPLE_S, *sample))
    return made


@pytest.mark.parametrize(
    ("status", "samples", "level"),
    [
        (partition(0), [(100, 0, 0.0)], "fresh"),
        (partition(5, newest_s=60), [(100, 0, 0.0)], "fresh"),  # the first record after a rest
        (partition(50, newest_s=60), [(90, 60, 60.0), (95, 55, 60.0)], "stale"),
        (partition(50, newest_s=1), [(90, 60, 1.0), (95, 55, 1.0)], "fresh"),
        (partition(50, newest_s=60), [(100, 50, 60.0)] * int(STUCK_S / SAMPLE_S + 2), "stuck"),
        (partition(0), [(100, 0, 0.0)] * 20, "fresh"),
        (partition(0, seen_s=90), [(100, None, None)], "stuck"),
        (partition(0, seen_s=None), [(100, None, None)], "rest"),
    ],
)
def test_it_says_how_new_it_is(status: PartitionStatus, samples: list[tuple[int, int | None, float | None]], level: str) -> None:
    """Fresh, stale, stuck or at rest, and never stale for a moment."""
    snapshot: Any = Snapshot(status)
    assert standing(NOW, pulse(*samples))(snapshot).level == level


def test_throughput_is_counted_by_the_minute() -> None:
    """The newest minute last; None where nobody looked; what was read between two looks belongs to the second."""
    made = pulse(*((number * 10, 0, 0.0) for number in range(25)))
    minutes = made.per_minute(24 * SAMPLE_S)
    assert minutes[-1] == 120
    assert minutes[-2] == 120
    assert minutes[-4] is None
    assert made.per_second() == 10 / SAMPLE_S


def test_an_hour_is_kept() -> None:
    """And no more, however long a server runs."""
    made = pulse(*((number, 0, 0.0) for number in range(2_000)))
    assert len(made.samples) == 720
    assert None not in made.per_minute(1_999 * SAMPLE_S)[1:]
