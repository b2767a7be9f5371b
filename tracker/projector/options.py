"""How a projector is told to work, and what it tells of its work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from tracker.model.records import Position, TopicPartition
from tracker.projector.projection import Station
from tracker.projector.watch import STUCK_AFTER_S
from tracker.stores.base import Counters


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a projector works; none of it can change a status."""

    max_batch_records: int = 10_000
    max_batch_age_s: float = 0.1
    """How long a record may wait for others to share its commit."""
    max_parked_ratio: float = 0.1
    """Stop when more of the last 10,000 records than this share were parked; 0: never."""
    on_lost_offset: Literal["stop", "earliest", "latest"] = "stop"
    until_end: bool = False
    """Stop when the store has reached the ends that the log had at the start, for all partitions."""
    stuck_after_s: float = STUCK_AFTER_S
    """With records to read and no progress for so long a worker says that it is stuck, and where."""
    exit_when_stuck_s: float | None = None
    """The run ends then with `Stuck`; None: it waits for better times."""


class Totals(msgspec.Struct):
    """What a run did."""

    counters: Counters
    seconds: float


class Progress(msgspec.Struct):
    """Told after each batch that was committed."""

    counters: Counters
    """Of this run so far."""
    seconds: float
    positions: Mapping[TopicPartition, Position]
    batch: BatchTimes


class BatchTimes(msgspec.Struct, frozen=True):
    """One batch's way through the worker."""

    records: int
    seconds: float
    """From the first record decoded until the source was told."""
    stations: Station
