"""Cells -> Arrow's arrays. NumPy's memory is handed over as it is, since Arrow may have been imported without NumPy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracker.analytics.arrow import (
    ATTEMPT_FIELDS,
    DEFINITION_FIELDS,
    MESSAGE_FIELDS,
    RETURN_FIELDS,
    TARGET_FIELDS,
    TEXT_FIELDS,
    UTC,
    seconds,
)
from tracker.analytics.columns import TASKS, Words
from tracker.analytics.compiled.sheet import COLUMN, DEFINITION, TARGET, VALUES, Array, entry, kernel

TEXTS = (
    *("id", "type", "uniqueName", "description", "parentName", "launcher", "progress", "parentId", "completionStatus", "truncated"),
    *TARGET,
    *DEFINITION[:-1],
    *("argument.key", "argument.value", "attribute.key", "attribute.value", "return.name", "return.attributeName"),
    *("message.type", "message.key", "text.locale", "text.message", "parameter", "attempt.completionStatus"),
)
"""Columns of texts."""
_TEXT_COLUMNS, _ARE_WRITTEN = np.array([COLUMN[name] for name in TEXTS]), np.array([name in VALUES for name in TEXTS])
BLOCK = 8
"""Bytes of texts that are copied at once: so many can be read behind each, and written."""
_1, _2, _3, _4, _5, _6, _7 = map(np.uint64, range(1, BLOCK))


class Arrays:
    """Of one chunk of so many rows."""

    def __init__(self, data: Array, written: Array, cells: Array, rows: int) -> None:
        self._cells, self._rows = cells, rows
        self._texts = self._gathered(data, written)
        self._keys, self._values = self._texts["attribute.key"], self._texts["attribute.value"]
        self._key_ends = self._of("attribute.key.end")[:, 0].copy()  # nothing that was made of the cells changes with them

    def columns(self) -> dict[str, pa.Array]:
        """The table's columns, all but the revision."""
        text, moment, number = self._texts.__getitem__, self._moment, self._number
        columns = {name: text(name) for name in ("id", "uniqueName", "description", "parentName", "launcher", "progress", "parentId")}
        columns |= {name: moment(name) for name in ("created", "modified", "launched", "completed")}
        columns |= {name: number(name) for name in ("percentComplete", "attempt")}
        columns["waitingSeconds"] = seconds(columns["created"], moment("firstLaunched"))
        columns["durationSeconds"] = seconds(columns["launched"], columns["completed"])
        columns |= {column.name: self._words(column.name, column.type) for column in TASKS if isinstance(column.type, Words)}
        columns["target"] = self._struct("target", [text(name) for name in TARGET], TARGET_FIELDS)
        arguments = pa.MapArray.from_arrays(self._ends("argument.key"), text("argument.key"), text("argument.value"))
        columns["taskDefinitionSummary"] = self._struct(
            "taskDefinitionSummary", [*(text(name) for name in DEFINITION[:-1]), arguments], DEFINITION_FIELDS
        )
        columns["attributes"] = pa.MapArray.from_arrays(self._ends("attribute.key"), self._keys, self._values)
        columns["returns"] = self._list("return.name", [text("return.name"), text("return.attributeName")], RETURN_FIELDS)
        columns["truncated"] = pa.ListArray.from_arrays(self._ends("truncated"), text("truncated"))
        columns["messages"] = self._list("message.type", self._messages(), MESSAGE_FIELDS)
        attempts = [number("attempt.number"), moment("attempt.launched"), moment("attempt.completed"), text("attempt.completionStatus")]
        columns["attempts"] = self._list("attempt.launched", attempts, ATTEMPT_FIELDS)
        return columns

    def attribute_values(self, key: str) -> Iterator[tuple[int, Any]]:
        """Rows that have an attribute of this key, and its values."""
        at = pc.indices_nonzero(pc.equal(self._keys, key))
        rows = np.searchsorted(self._key_ends, at.to_pylist(), side="right")
        return zip(rows.tolist(), map(json.loads, self._values.take(at).to_pylist()), strict=True)

    def _messages(self) -> list[pa.Array]:
        text = self._texts.__getitem__
        said = pa.StructArray.from_arrays([text("text.locale"), text("text.message")], fields=TEXT_FIELDS)
        parameters = pa.ListArray.from_arrays(self._ends("parameters"), text("parameter"), mask=self._nulls("parameters.given"))
        return [text("message.type"), said, text("message.key"), parameters]

    def _of(self, name: str) -> Array:
        """The cells of a column."""
        column = COLUMN[name]
        return self._cells[column, 1 : self._cells[column, 0, 0] + 1]

    def _gathered(self, data: Array, written: Array) -> dict[str, pa.Array]:
        """All columns of texts: a call for each would take as long as its texts."""
        places, *parts = _gather(data, written, self._cells, _TEXT_COLUMNS, _ARE_WRITTEN)
        offsets, valid, texts = map(pa.py_buffer, parts)
        found = {}
        for name, ((offset, bit, at, nulls), (next_offset, next_bit, end, _)) in zip(TEXTS, pairwise(places.tolist()), strict=True):
            of_column = offsets.slice(4 * offset, 4 * (next_offset - offset))
            buffers = [valid.slice(bit, next_bit - bit) if nulls else None, of_column, texts.slice(at, end - at)]
            found[name] = pa.Array.from_buffers(pa.string(), next_offset - offset - 1, buffers, nulls)
        return found

    def _moment(self, name: str) -> pa.Array:
        cells = self._of(name)
        times = pa.py_buffer(np.ascontiguousarray(cells[:, 0]))
        return pa.Array.from_buffers(UTC, len(cells), [_bits(cells[:, 1] >= 0), times])

    def _number(self, name: str) -> pa.Array:
        return _integers(self._of(name)[:, 0], np.int32, pa.int32())

    def _nulls(self, name: str) -> pa.Array | None:
        nulls = self._of(name)[:, 1] < 0
        return pa.Array.from_buffers(pa.bool_(), len(nulls), [None, _bits(nulls)]) if nulls.any() else None

    def _ends(self, name: str) -> pa.Array:
        """Where the items of each list begin, and at last where the last ones end."""
        return _integers(np.concatenate(([0], self._of(f"{name}.end")[:, 0])), np.int32, pa.int32())

    def _list(self, name: str, members: list[pa.Array], fields: list[pa.Field]) -> pa.Array:
        return pa.ListArray.from_arrays(self._ends(name), pa.StructArray.from_arrays(members, fields=fields))

    def _struct(self, name: str, members: list[pa.Array], fields: list[pa.Field]) -> pa.Array:
        return pa.StructArray.from_arrays(members, fields=fields, mask=self._nulls(name))

    def _words(self, name: str, type_: Words) -> pa.Array:
        words = pa.array(type_.words, pa.string())
        if name == "state":
            indices = _integers(self._of(name)[:, 0], np.int8, pa.int8())
        elif name == "change":  # all are the first one
            indices = _integers(np.zeros(self._rows), np.int8, pa.int8())
        else:
            indices = pc.index_in(self._texts[name], words).cast(pa.int8())
        return pa.DictionaryArray.from_arrays(indices, words)


def _bits(values: Array) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def _integers(values: Array, type_: Any, arrow_type: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(arrow_type, len(values), [None, pa.py_buffer(np.ascontiguousarray(values.astype(type_)))])


@entry
def _gather(data: Array, written: Array, cells: Array, columns: Array, are_written: Array) -> tuple[Array, Array, Array, Array]:
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
