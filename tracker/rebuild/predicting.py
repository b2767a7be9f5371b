"""What a rebuild would take: a sample of the log is folded into a store of its own, and the rest is a proportion."""

from __future__ import annotations

import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from tracker.errors import UsageError
from tracker.rebuild.folding import can_be_cut
from tracker.rebuild.following import Follower
from tracker.rebuild.run import Order
from tracker.replay.runs import UNTIL_ENDED
from tracker.stores.contents import Shadow
from tracker.stores.sql import SqlStore

SAMPLE_SHARE = 0.05
"""Of the log, from its beginning,"""
SAMPLE_LEAST, SAMPLE_MOST = 2_000_000, 40_000_000
"""in bytes of a file; of a topic a hundredth of it, in records: some seconds of work."""
FILLED_SHARE = 2.7
"""Of the live store's size: the shadow, as much again in its log of changes, as it is filled in one transaction, and the runs (0.7)."""
COMPARED_PER_S = 150_000
"""Tasks that are compared in a second, on a machine of 2020: beside the folding it hardly counts."""


class Prediction(msgspec.Struct, kw_only=True):
    """What was measured, and what follows from it."""

    records: int
    """In the log, estimated from the sample."""
    sampled: int
    records_per_s: float
    processes: int
    seconds: float
    shadow_bytes: int
    free_bytes: int | None
    """None: not known."""

    def to_json(self) -> dict[str, Any]:
        """As ``rebuild --dry-run --json`` prints it."""
        return {
            "records": self.records,
            "sampled": self.sampled,
            "recordsPerSecond": round(self.records_per_s),
            "processes": self.processes,
            "seconds": round(self.seconds, 1),
            "shadowBytes": self.shadow_bytes,
            "freeBytes": self.free_bytes,
        }

    def sentence(self) -> str:
        """For people."""
        free = "" if self.free_bytes is None else f" of {self.free_bytes / 1e6:,.0f} MB that are free"
        free += "  THERE IS NOT ENOUGH SPACE" if self.free_bytes is not None and self.free_bytes < self.shadow_bytes else ""
        return (
            f"about {self.records:,} records at {self.records_per_s:,.0f}/s in {self.processes} processes: some {self.seconds:,.0f} s, "
            f"and {self.shadow_bytes / 1e6:,.0f} MB{free}"
        )


async def predict(shadow: Shadow, order: Order) -> Prediction:
    """Fold a sample of each log and tell what all of it would take. Nothing is changed but a folder for temporary files."""
    with shadow.live_contents() as live:
        about, positions = live.about(), [each.position for each in live.partitions()]
    sampled, sampled_offsets, total_offsets, processes, seconds, is_filled = 0, 0, 0, 1, 0.0, False
    with tempfile.TemporaryDirectory(prefix="tracker-sample-") as folder:
        for number, source in enumerate(order.logs.open()):
            async with AsyncExitStack() as stack:
                store = stack.enter_context(
                    SqlStore(str(Path(folder) / f"{number}.db"), limits=order.limits or about.limits, synchronous="NORMAL")
                )
                counted = [0]

                def on_records(records: int, counted: list[int] = counted) -> None:
                    counted[0] += records

                follower = await stack.enter_async_context(Follower(source, store, on_records=on_records))
                await follower.open(positions)
                begins = {at: begin.next_offset for at, begin in follower.beginnings.items()}
                lengths = {at: aim - begins[at] for at, aim in follower.aims(positions).items()}
                if any(aim > UNTIL_ENDED // 2 for aim in lengths.values()):
                    raise UsageError("how long a compressed file is can't be told before it is read: predict from a plain one")
                is_file = any(at.topic.startswith("/") for at in lengths)
                least, most = (SAMPLE_LEAST, SAMPLE_MOST) if is_file else (SAMPLE_LEAST // 400, SAMPLE_MOST // 400)
                aims, left = {}, min(most, max(least, int(SAMPLE_SHARE * sum(lengths.values()))))
                for at, length in lengths.items():
                    aims[at] = begins[at] + min(length, left)
                    left -= aims[at] - begins[at]
                began_s = perf_counter()
                await follower.follow(aims)
                seconds += perf_counter() - began_s
                sampled += counted[0]
                sampled_offsets += sum(aims[at] - begins[at] for at in aims)
                total_offsets += sum(lengths.values())
                if not order.records_per_s and can_be_cut(follower.beginnings, follower.aims(positions)):
                    processes, is_filled = max(processes, order.jobs or os.cpu_count() or 1), True
    records = sampled * total_offsets // sampled_offsets if sampled_offsets else 0
    rate = sampled / seconds if seconds else 0.0
    rate = min(rate * processes, order.records_per_s or rate * processes)
    needed = int(about.size_bytes * (FILLED_SHARE if is_filled else 1))
    took_s = (records / rate if rate else 0.0) + about.tasks / COMPARED_PER_S
    return Prediction(
        records=records,
        sampled=sampled,
        records_per_s=rate,
        processes=processes,
        seconds=took_s,
        shadow_bytes=needed,
        free_bytes=shadow.free_bytes(),
    )
