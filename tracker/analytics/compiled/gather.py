"""Texts from where they stand -> columns of texts as Arrow has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracker.analytics.compiled.cells import BLOCK, COLUMN, DEFINITION, TARGET, VALUES, Array, entry, kernel

TEXTS = (
    *("id", "type", "uniqueName", "description", "parentName", "launcher", "progress", "parentId", "completionStatus", "truncated"),
    *TARGET,
    *DEFINITION[:-1],
    *("argument.key", "argument.value", "attribute.key", "attribute.value", "return.name", "return.attributeName"),
    *("message.type", "message.key", "text.locale", "text.message", "parameter", "attempt.completionStatus"),
)
"""Columns of texts."""
TEXT_COLUMNS, ARE_WRITTEN = np.array([COLUMN[name] for name in TEXTS]), np.array([name in VALUES for name in TEXTS])
_1, _2, _3, _4, _5, _6, _7 = map(np.uint64, range(1, BLOCK))


@entry
def gather(data: Array, written: Array, cells: Array, columns: Array, are_written: Array) -> tuple[Array, Array, Array, Array]:
    """Columns of texts as Arrow has them: where each text begins, a bit for each that is not null, their bytes.

    All columns stand one behind the other. First comes where each column begins in the others, at last where the last one ends, and how many nulls it has.
    """
    places = np.zeros((len(columns) + 1, 4), np.int64)
    for at in range(len(columns)):
        column = columns[at]
        count, size = cells[column, 0, 0], 0
        for row in range(1, count + 1):
            size += max(cells[column, row, 1], 0)
        places[at + 1, 0] = places[at, 0] + count + 1
        places[at + 1, 1] = places[at, 1] + (count + 7) // 8
        places[at + 1, 2] = places[at, 2] + size
    offsets, valid = np.zeros(places[-1, 0], np.int32), np.full(places[-1, 1], 255, np.uint8)
    texts = np.empty(places[-1, 2] + BLOCK, np.uint8)
    for at in range(len(columns)):
        of_column = cells[columns[at], 1 : cells[columns[at], 0, 0] + 1]
        places[at, 3] = _gather_one(
            written if are_written[at] else data, of_column, offsets[places[at, 0] :], valid[places[at, 1] :], texts[places[at, 2] :]
        )
    return places, offsets, valid, texts


@kernel
def _gather_one(data: Array, cells: Array, offsets: Array, valid: Array, texts: Array) -> int:
    """One column; how many nulls it has. Behind each text up to a block more is written over, which the next one writes over again."""
    nulls, to = 0, np.uint64(0)  # without a sign: else each place would be looked at for one, which takes three times as long
    for row in range(len(cells)):
        if cells[row, 1] < 0:
            nulls += 1
            valid[row >> 3] &= 255 ^ (1 << (row & 7))
        else:
            start, size = np.uint64(cells[row, 0]), np.uint64(cells[row, 1])
            done = np.uint64(0)
            while done < size:
                _copy_block(data, start + done, texts, to + done)
                done += np.uint64(BLOCK)
            to += size
        offsets[row + 1] = to
    return nulls


@kernel
def _copy_block(data: Array, start: Any, texts: Array, to: Any) -> None:
    """All are read before one is written, so that a processor does each in one step."""
    a, b, c, d = data[start], data[start + _1], data[start + _2], data[start + _3]
    e, f, g, h = data[start + _4], data[start + _5], data[start + _6], data[start + _7]
    texts[to], texts[to + _1], texts[to + _2], texts[to + _3] = a, b, c, d
    texts[to + _4], texts[to + _5], texts[to + _6], texts[to + _7] = e, f, g, h
