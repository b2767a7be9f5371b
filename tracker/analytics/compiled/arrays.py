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
from tracker.analytics.compiled.cells import COLUMN, DEFINITION, TARGET, Array
from tracker.analytics.compiled.gather import ARE_WRITTEN, TEXT_COLUMNS, TEXTS, gather


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
        places, *parts = gather(data, written, self._cells, TEXT_COLUMNS, ARE_WRITTEN)
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
