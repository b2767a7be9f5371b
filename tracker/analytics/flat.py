"""States of tasks -> lists of values, column by column: what Arrow's arrays and the cells of CSV are made of.

This is the hot path of every export. A state is some 100 objects of 15 kB, and more than a few of them do not stay in a core's cache: so each
is read out and dropped before the next one is made, which is three times as fast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, TypeAlias

import orjson

from tracker.errors import StoreError
from tracker.fold.event import stamp_time
from tracker.fold.state import DAMAGED, TaskState, from_bytes
from tracker.fold.view import cut_fields, field_values, scalars
from tracker.query.base import Row

CHUNK_ROWS = 512
"""Rows that are read out at once,"""
CHUNK_BYTES = 2_000_000
"""and no more of their stored states than this (one of 65 MB stands alone)."""
SCALARS = (
    *("id", "type", "uniqueName", "description", "parentName", "launcher", "created", "modified", "launched", "completed"),
    *("completionStatus", "progress", "percentComplete", "state", "attempt", "parentId", "revision", "change"),
)
"""The columns that are neither nested nor derived, in the order of `Flat.scalars`."""
Told: TypeAlias = tuple[Row, str]
"""A row of the table to be, and what became of the task: ``changed`` is a task as it is, see `tracker.analytics.columns.CHANGES`."""
_NO_SCALARS = (None,) * (len(SCALARS) - 3)
_GONE = TaskState()
_GONE_FIELDS = field_values(_GONE)
_MAX_SHAPES = 10_000


class Ends:
    """Lists of many rows end to end, and where each begins; at last where the last one ends."""

    __slots__ = ("items", "starts")

    def __init__(self) -> None:
        self.starts = [0]
        self.items: list[Any] = []


class Flat:
    """A chunk of rows as columns. Times are 26 characters of UTC."""

    def __init__(self) -> None:
        self.scalars: dict[str, Sequence[Any]] = {}
        """By name, those of `SCALARS`."""
        self.gone: list[bool] | None = None
        """Which rows are null but for their id; None if none is."""
        self.targets: list[dict[str, Any] | None] = []
        self.definitions: list[dict[str, Any] | None] = []
        self.messages = Ends()
        """As `tracker.fold.state.Kept`."""
        self.returns = Ends()
        """Stamp, name and attributeName."""
        self.keys, self.values = Ends(), list[Any]()
        """Of the attributes."""
        self.attempts = Ends()
        """As `tracker.fold.state.Attempt`."""
        self.truncated = Ends()
        self.first_launched: list[str | None] = []

    def __len__(self) -> int:
        return len(self.first_launched)

    def attribute_values(self, key: str) -> Iterator[tuple[int, Any]]:
        """Rows that have an attribute of this key, and its values."""
        for row, (start, end) in enumerate(pairwise(self.keys.starts)):
            for at in range(start, end):
                if self.keys.items[at] == key:
                    yield row, self.values[at]
                    break


def chunks(told: Iterable[Told], max_rows: int = CHUNK_ROWS, max_bytes: int = CHUNK_BYTES) -> Iterator[list[Told]]:
    """The rows in chunks of a bounded number and size."""
    chunk, size_bytes = list[Told](), 0
    for each in told:
        chunk.append(each)
        size_bytes += len(each[0].registers)
        if len(chunk) >= max_rows or size_bytes >= max_bytes:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk


def flatten(told: Iterable[Told]) -> Flat:
    """The rows as columns. Raises `StoreError` where a stored state is damaged."""
    flat = Flat()
    cells, gone = list[tuple[Any, ...]](), list[bool]()
    messages, returns, keys, attempts, truncated = flat.messages, flat.returns, flat.keys, flat.attempts, flat.truncated
    for row, change in told:
        if change == "changed":
            state = from_bytes(row.registers)
            field = field_values(state)
            first_launched, taken = _scalars(row, state, field)
        else:
            state, field, first_launched, taken = _GONE, _GONE_FIELDS, None, (row.id, *_NO_SCALARS, row.revision, change)
        gone.append(state is _GONE)
        cells.append(taken)
        flat.first_launched.append(first_launched)
        flat.targets.append(field["target"])
        flat.definitions.append(field["taskDefinitionSummary"])
        if state.messages:
            messages.items += _messages(state)
        messages.starts.append(len(messages.items))
        if state.returns:
            returns.items += _returns(state)
        returns.starts.append(len(returns.items))
        if state.attributes:
            _attributes(state, keys.items, flat.values)
        keys.starts.append(len(keys.items))
        attempts.items += state.attempts
        attempts.starts.append(len(attempts.items))
        if state.truncated or state.purged:
            truncated.items += sorted(cut_fields(state))
        truncated.starts.append(len(truncated.items))
    flat.scalars = dict(zip(SCALARS, zip(*cells, strict=True), strict=True))
    flat.gone = gone if True in gone else None
    return flat


def _scalars(row: Row, state: TaskState, field: dict[str, Any]) -> tuple[str | None, tuple[Any, ...]]:
    """When the first attempt was launched, and the values of `SCALARS`."""
    cells = scalars(row.id, state, field)
    launched, completed = cells.launched and cells.launched[:-1], cells.completed and cells.completed[:-1]
    first_launched = launched
    if len(state.attempts) > 1 or launched is None:
        first_launched = min((stamp_time(attempt.launched) for attempt in state.attempts if attempt.launched), default=None)
    return first_launched, (
        row.id,
        cells.type,
        cells.unique_name,
        cells.description,
        cells.parent_name,
        cells.launcher,
        cells.created[:-1],
        cells.modified[:-1],
        launched,
        completed,
        cells.completion_status,
        cells.progress,
        cells.percent_complete,
        cells.state,
        cells.attempt,
        cells.parent_id,
        row.revision,
        "changed",
    )


def _returns(state: TaskState) -> Iterable[tuple[str, str, str]]:
    found = [(stamp, name, attribute) for name, of_name in state.returns.items() for attribute, stamp in of_name.items()]
    if len(found) > 1:
        found.sort()
    return found


def _messages(state: TaskState) -> Iterable[Any]:
    messages = state.messages
    if len(messages) == 1:
        return [said.message for said in messages.values()]
    return [said.message for _, said in sorted(messages.items(), key=lambda item: item[1].head + item[0])]


_shapes: dict[tuple[str, ...], tuple[tuple[str, ...], Callable[[dict[str, Any]], Any]]] = {}
"""Sets of keys that were met: their order, and what reads the values in it. Most tasks have the keys of others."""


def _attributes(state: TaskState, keys: list[str], values: list[Any]) -> None:
    layers = state.attributes
    held = layers[0].values
    for layer in layers[1:]:
        held |= layer.values
    shape = tuple(held)
    known = _shapes.get(shape)
    if known is None:
        if len(_shapes) >= _MAX_SHAPES:
            _shapes.clear()
        names = tuple(sorted(held))
        known = _shapes[shape] = names, itemgetter(*names) if len(names) > 1 else lambda held: tuple(held.values())
    keys += known[0]
    values += known[1](held)


_slow_text = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
LEAST_PLAIN, MOST_PLAIN = 1e-4, 1e16
"""From the one to before the other orjson writes fractions as Python's json does."""
_PLAIN = frozenset((str, int, bool, type(None)))
_FRACTION = re.compile("[0-9][.e]")


def _fragment(value: Any) -> Any:
    """A fraction, an array or an object for orjson, which writes some fractions otherwise than Python's json, and all else alike."""
    if type(value) is float:
        return value if LEAST_PLAIN <= abs(value) < MOST_PLAIN or value == 0 else orjson.Fragment(_slow_text(value))
    # As a text of its own size: what orjson gives stands in a kilobyte, and a chunk's worth of those costs five times as much as to write them.
    found = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return orjson.Fragment(_slow_text(value) if _FRACTION.search(found) else found)


def json_lines(values: Sequence[Any]) -> bytes:
    """Each value as canonical JSON, joined by commas and newlines and two spaces: no JSON text without indentation has a newline in it.

    Raises `StoreError` for what is no JSON value.
    """
    try:
        return orjson.dumps([value if type(value) in _PLAIN else _fragment(value) for value in values], option=orjson.OPT_INDENT_2)[4:-2]
    except TypeError as error:
        raise StoreError(f"a stored state has a value that is no JSON ({error}): {DAMAGED}") from error
