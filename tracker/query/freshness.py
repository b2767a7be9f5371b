"""How new an answer is: the positions that it was read at, and how far the logs are ahead of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tracker.model.records import Position
from tracker.query.base import Question, Snapshot
from tracker.query.report import lag_records, lag_seconds
from tracker.query.tokens import to_vector


class Freshness(msgspec.Struct, kw_only=True):
    """A snapshot's place in the logs."""

    store: str
    """The store's own name: its revisions mean nothing in another."""
    revision: int
    positions: list[Position]
    """By topic and partition: the next offset of each."""
    lag_records: int | None
    """Over all partitions; None where one's is unknown (no worker has reported its end in the last minute), or there are none."""
    lag_seconds: float | None
    """Of the partition that is farthest behind; None likewise."""
    newest_event_time: str | None
    """The greatest time of all events read, RFC 3339."""

    @property
    def vector(self) -> str:
        """The positions as one opaque text, for ``wait_for``."""
        return to_vector(self.positions)

    def to_json(self) -> dict[str, Any]:
        """``{"revision", "vector", "lagRecords", "lagSeconds", "positions": [{"topic", "partition", "nextOffset"}]}``."""
        return {
            "revision": self.revision,
            "vector": self.vector,
            "lagRecords": self.lag_records,
            "lagSeconds": self.lag_seconds,
            "positions": [{"topic": each.topic, "partition": each.partition, "nextOffset": each.next_offset} for each in self.positions],
        }


def freshness(now: datetime) -> Question[Freshness]:
    """How new the snapshot is, with lags as they are known at ``now`` (aware)."""

    def question(snapshot: Snapshot) -> Freshness:
        partitions = snapshot.partitions()
        records = [lag_records(each, now) for each in partitions]
        seconds = [lag_seconds(each, lag) for each, lag in zip(partitions, records, strict=True)]
        newest = max((each.newest_event_time or "" for each in partitions), default="")
        return Freshness(
            store=snapshot.store,
            revision=snapshot.revision(),
            positions=[each.position for each in partitions],
            lag_records=sum(known) if partitions and len(known := [lag for lag in records if lag is not None]) == len(records) else None,
            lag_seconds=max(told) if partitions and len(told := [lag for lag in seconds if lag is not None]) == len(seconds) else None,
            newest_event_time=newest + "Z" if len(newest) == 26 else newest or None,
        )

    return question
