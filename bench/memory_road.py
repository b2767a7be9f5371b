"""Decode, and decode and fold, in memory."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from bench.measure import Figure, rounds
from tracker.fold.decode import Decoder
from tracker.fold.reducers import apply
from tracker.fold.state import TaskState
from tracker.model.records import Record


def figures(lines: Sequence[bytes], count: int) -> list[Figure]:
    """Both figures, with the cyclic collector off as it is inside a batch."""
    records = [Record("log", 0, offset, line) for offset, line in enumerate(lines)]

    def decode() -> None:
        gc.disable()
        read = Decoder().decode
        for record in records:
            read(record)
        gc.enable()

    def decode_and_fold() -> None:
        gc.disable()
        read = Decoder().decode
        states: dict[str, TaskState] = {}
        for record in records:
            event = read(record)
            state = states.get(event.task_id)  # type: ignore[union-attr]  # all of this log are events
            if state is None:
                state = states[event.task_id] = TaskState()  # type: ignore[union-attr]
            apply(state, event)  # type: ignore[arg-type]
        gc.enable()

    return [
        rounds(Figure("decode with all checks", 2.5), count, lines, decode),
        rounds(Figure("decode and fold in memory", 6), count, lines, decode_and_fold),
    ]
