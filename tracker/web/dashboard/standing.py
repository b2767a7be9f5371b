"""The place that a page was read at, and whether what it shows is new: printed on every page."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tracker.query.base import Question, Snapshot
from tracker.query.freshness import freshness
from tracker.query.tokens import to_token
from tracker.web.dashboard.pulse import Pulse
from tracker.web.wording import number, relative, span

Level = Literal["fresh", "stale", "stuck", "rest"]


class Standing(msgspec.Struct):
    """Of one snapshot."""

    revision: int
    token: str
    """To follow changes from here."""
    level: Level
    said: str
    """In one sentence."""
    short: str
    """In a few words."""
    positions: str
    """``topic/partition offset`` of each."""


def standing(now: datetime, pulse: Pulse) -> Question[Standing]:
    """How new the snapshot is."""
    place = freshness(now)

    def question(snapshot: Snapshot) -> Standing:
        at = place(snapshot)
        level, short, said = _judged(snapshot, at.lag_records, at.lag_seconds, now, pulse)
        positions = ", ".join(f"{each.topic}/{each.partition} {each.next_offset:,}" for each in at.positions)
        return Standing(at.revision, to_token(at.store, at.revision), level, said, short, positions)

    return question


def _judged(snapshot: Snapshot, lag_records: int | None, lag_seconds: float | None, now: datetime, pulse: Pulse) -> tuple[Level, str, str]:
    if lag_records is None:
        heard = max((each.end_seen_at for each in snapshot.partitions() if each.end_seen_at), default=None)
        if heard is None:
            return "rest", "at rest", "No projector reads into this store: it stays as it is."
        since = relative(heard if heard[-1] == "Z" or "+" in heard else heard + "Z", now)
        return "stuck", "no projector", f"No projector is at work: the last one reported {since}. What you see stays as it was then."
    if stuck_s := pulse.stuck_s:
        waiting = f"{number(lag_records)} record{'s wait' if lag_records != 1 else ' waits'}"
        return "stuck", "stuck", f"The projector does not get on: {waiting}, and none was read for {span(stuck_s)}."
    if pulse.is_stale and lag_seconds is not None and lag_seconds > 5:
        return "stale", f"{span(lag_seconds)} behind", f"Stale: {span(lag_seconds)} behind the log, {number(lag_records)} records to read."
    return "fresh", "up to date", "Up to date with the log."
