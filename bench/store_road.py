"""Files into SQLite: replayed into an empty store, and streamed in batches."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Figure, rounds
from tracker.projector import Options, Projector
from tracker.projector.projection import Station
from tracker.replay import replay
from tracker.sources.jsonl import JsonlSource
from tracker.stores.open import open_store


def replays(log: Path, lines: Sequence[bytes], count: int, what: str, at_most: float) -> list[Figure]:
    """`tracker replay` into an empty store with its indexes, on all cores."""

    def once() -> float:
        with tempfile.TemporaryDirectory(dir=log.parent) as folder:
            totals = replay([str(log)], f"sqlite:///{folder}/status.db")
            assert totals.counters.read == len(lines), totals
            return totals.seconds

    return [rounds(Figure(f"replay of {what} into SQLite", at_most), count, lines, once)]


def streams(log: Path, lines: Sequence[bytes], count: int) -> list[Figure]:
    """One process, in batches, into a store with its indexes."""
    return [
        _stream(log, lines, count, 10_000, "normal", 18),
        _stream(log, lines, count, 10_000, "full", None),
        _stream(log, lines, count, 500, "normal", 33),
        _stream(log, lines, count, 500, "full", None),
    ]


def _stream(log: Path, lines: Sequence[bytes], count: int, batch: int, synchronous: str, at_most: float | None) -> Figure:
    figure = Figure(f"streamed into SQLite, batches of {batch:,}, {synchronous.upper()}", at_most)

    def once() -> float:
        with (
            tempfile.TemporaryDirectory(dir=log.parent) as folder,
            open_store(f"sqlite:///{folder}/status.db?synchronous={synchronous}") as store,
        ):
            projector = Projector(lambda _: JsonlSource([str(log)]), store, options=Options(max_batch_records=batch))
            totals = asyncio.run(projector.run())
            assert totals.counters.read == len(lines), totals
            figure.notes = shares(projector.projection.seconds, totals.seconds)
            return totals.seconds

    return rounds(figure, count, lines, once)


def shares(seconds: Station, total: float) -> dict[str, float]:
    """Each station's share of the whole; what is left is receiving and waiting."""
    stations = {name: getattr(seconds, name) / total for name in Station.__struct_fields__}
    return {"receive": max(0.0, 1 - sum(stations.values())), **stations}
