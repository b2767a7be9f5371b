"""The table as CSV (RFC 4180 but for line ends), in plain Python: null is empty, nested values are JSON, times are ISO 8601 in microseconds."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from tracker.analytics.attributes import Attribute, fitted, with_attributes
from tracker.analytics.columns import TASKS, TIME, Words
from tracker.analytics.flat import Flat, Told, chunks, flatten
from tracker.fold import view
from tracker.model.limits import Limits

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_MICRO = timedelta(microseconds=1)
_NESTED = tuple(column.name for column in TASKS if not isinstance(column.type, str | Words))


class Text(Protocol):
    """What text is written to."""

    def write(self, text: str, /) -> object:
        """Append."""
        ...


class CsvFile:
    """A file that rows are written to. Counts the attributes' values that did not fit their columns in ``misfits``, by column."""

    def __init__(self, file: Text, limits: Limits, attributes: Sequence[Attribute] = ()) -> None:
        self._limits, self._attributes = limits, tuple(attributes)
        self._columns = with_attributes(self._attributes)
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(column.name for column in self._columns)
        self.misfits: dict[str, int] = {}

    def write_all(self, told: Iterable[Told], on_rows: Callable[[int], None] = lambda _: None) -> int:
        """All rows; how many."""
        rows = 0
        for chunk in chunks(told):
            self._rows.writerows(self._cells(chunk))
            rows += len(chunk)
            on_rows(rows)
        return rows

    def _cells(self, chunk: Sequence[Told]) -> Iterator[tuple[Any, ...]]:
        flat = flatten(chunk)
        columns: dict[str, Sequence[Any]] = dict(flat.scalars)
        for column in TASKS:
            if column.type == TIME:
                columns[column.name] = [None if text is None else text + "Z" for text in columns[column.name]]
        columns["waitingSeconds"] = _seconds(flat.scalars["created"], flat.first_launched)
        columns["durationSeconds"] = _seconds(flat.scalars["launched"], flat.scalars["completed"])
        nested = [self._nested(each) for each in chunk]
        columns |= {name: [None if document is None else _JSON(document[name]) for document in nested] for name in _NESTED}
        columns |= {attribute.name: self._attribute(flat, attribute) for attribute in self._attributes}
        return zip(*(columns[column.name] for column in self._columns), strict=True)

    def _nested(self, told: Told) -> dict[str, Any] | None:
        row, change = told
        if change != "changed":
            return None
        state = row.state
        document = view.view(row.id, state, self._limits) | view.extension(state, self._limits)
        return {name: document[name] for name in _NESTED}

    def _attribute(self, flat: Flat, attribute: Attribute) -> list[Any]:
        values, misfits = fitted(flat.attribute_values(attribute.key), len(flat), attribute)
        if misfits:
            self.misfits[attribute.name] = self.misfits.get(attribute.name, 0) + misfits
        if attribute.type == "timestamp":
            return [None if value is None else value + "Z" for value in values]
        return [_JSON(value) if isinstance(value, bool) else value for value in values]


def _seconds(starts: Sequence[str | None], ends: Sequence[str | None]) -> list[float | None]:
    return [
        None if start is None or end is None else float((datetime.fromisoformat(end) - datetime.fromisoformat(start)) // _MICRO) / 1e6
        for start, end in zip(starts, ends, strict=True)
    ]
