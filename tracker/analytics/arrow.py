"""The flat table as Arrow: its schema, and record batches made of the lists of `tracker.analytics.flat`.

All texts of a chunk become one Arrow array, all times another, and columns are slices of them: a call for each column of a small chunk
would cost more than its values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tracker.analytics.attributes import Attribute, fitted, with_attributes
from tracker.analytics.columns import ATTEMPT, DEFINITION, MESSAGE, RETURN, TARGET, TASKS, Column, Listed, Mapped, Struct, Type, Words
from tracker.analytics.flat import Flat, Told, chunks, flatten, json_lines
from tracker.analytics.reading import told
from tracker.errors import StoreError
from tracker.fold.event import stamp_time
from tracker.fold.state import DAMAGED
from tracker.query.base import Snapshot
from tracker.query.filters import Node
from tracker.query.pages import BY_ID, Order
from tracker.query.tokens import Place

BATCH_ROWS, BATCH_BYTES = 8_192, 16_000_000
"""Rows of a record batch, and no more bytes than about this."""
_NAIVE = pa.timestamp("us")
UTC = pa.timestamp("us", tz="UTC")
_NUMBERS = {"int32": pa.int32(), "int64": pa.int64()}
_MICROS = pa.scalar(1e6, pa.float64())


def arrow_type(type_: Type) -> pa.DataType:
    """Arrow's own type."""
    if isinstance(type_, Words):
        return pa.dictionary(pa.int8(), pa.string())
    if isinstance(type_, Struct):
        return pa.struct([_field(member) for member in type_.members])
    if isinstance(type_, Listed):
        return pa.list_(arrow_type(type_.item))
    if isinstance(type_, Mapped):
        return pa.map_(pa.string(), pa.string())
    return UTC if type_.startswith("timestamp") else pa.type_for_alias(type_)


def arrow_schema(columns: Iterable[Column] = TASKS, about: dict[str, Any] | None = None) -> pa.Schema:
    """The schema of these columns; ``about`` is written into its metadata, as JSON under ``tracker``."""
    metadata = None if about is None else {"tracker": json.dumps(about)}
    return pa.schema([_field(column) for column in columns], metadata)


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, arrow_type(column.type), column.nullable)


TARGET_FIELDS, DEFINITION_FIELDS, ATTEMPT_FIELDS, MESSAGE_FIELDS, RETURN_FIELDS = (
    list(arrow_type(each)) for each in (TARGET, DEFINITION, ATTEMPT, MESSAGE, RETURN)
)
TEXT_FIELDS = list(MESSAGE_FIELDS[1].type)
"""Members of the structs, made once: a type takes as long as a hundred values."""


class Batches:
    """Makes record batches of rows. Counts the attributes' values that did not fit their columns in ``misfits``, by column."""

    def __init__(self, attributes: Sequence[Attribute] = (), about: dict[str, Any] | None = None) -> None:
        self.attributes = tuple(attributes)
        self.schema = arrow_schema(with_attributes(self.attributes), about)
        self.misfits: dict[str, int] = {}

    def of(self, told: Iterable[Told], max_rows: int = BATCH_ROWS, max_bytes: int | None = BATCH_BYTES) -> Iterator[pa.RecordBatch]:
        """All rows, in batches of ``max_rows``, or fewer where they are great (None: not even then)."""
        parts, rows, size_bytes = list[pa.RecordBatch](), 0, 0
        for chunk in chunks(told):
            parts.append(self.one(chunk))
            rows += len(chunk)
            size_bytes += parts[-1].nbytes
            if rows >= max_rows or (max_bytes is not None and size_bytes >= max_bytes):
                yield pa.concat_batches(parts)
                parts, rows, size_bytes = [], 0, 0
        if parts:
            yield pa.concat_batches(parts)

    def read(self, snapshot: Snapshot, where: Node | None, since: Place | None = None, order: Order = BY_ID) -> Iterator[pa.RecordBatch]:
        """The table in batches: see `tracker.analytics.reading.told`."""
        return self.of(told(snapshot, where, since, order))

    def one(self, chunk: Sequence[Told]) -> pa.RecordBatch:
        """One chunk, as one batch."""
        flat = flatten(chunk)
        columns = _columns(flat)
        self.add_attributes(columns, flat.attribute_values, len(flat))
        return pa.record_batch([columns[name] for name in self.schema.names], schema=self.schema)

    def add_attributes(self, columns: dict[str, pa.Array], of_key: Callable[[str], Iterable[tuple[int, Any]]], rows: int) -> None:
        """The attributes' columns; ``of_key`` gives the rows that have an attribute, and its values."""
        for attribute in self.attributes:
            values, misfits = fitted(of_key(attribute.key), rows, attribute)
            type_ = arrow_type(attribute.column.type)
            columns[attribute.name] = times(values) if type_ == UTC else pa.array(values, type_)
            if misfits:
                self.misfits[attribute.name] = self.misfits.get(attribute.name, 0) + misfits


class _Joined:
    """Lists of values that become slices of one array."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._array: pa.Array | None = None

    def place(self, values: Iterable[Any]) -> slice:
        start = len(self._values)
        self._values += values
        return slice(start, len(self._values))

    def build(self, type_: pa.DataType, then: Callable[[pa.Array], pa.Array] = lambda array: array) -> None:
        self._array = then(pa.array(self._values, type_))

    def __getitem__(self, place: slice) -> pa.Array:
        assert self._array is not None
        return self._array.slice(place.start, place.stop - place.start)


def parsed(texts: pa.Array) -> pa.Array:
    """`times` of what is an array already. Raises `StoreError`."""
    try:
        return texts.cast(_NAIVE).view(UTC)
    except pa.ArrowInvalid as error:
        raise StoreError(f"a stored state has a time that is none ({error}): {DAMAGED}") from error


def times(texts: Sequence[str | None]) -> pa.Array:
    """Times from 26 characters of UTC each."""
    return parsed(pa.array(texts, pa.string()))


def _columns(flat: Flat) -> dict[str, pa.Array]:
    texts, moments, scalars = _Joined(), _Joined(), flat.scalars
    placed_texts = {column.name: texts.place(scalars[column.name]) for column in TASKS if column.type == "string"}
    placed_moments = {name: moments.place(scalars[name]) for name in ("created", "modified", "launched", "completed")}
    first_launched = moments.place(flat.first_launched)
    nested = [_target(flat, texts), _definition(flat, texts), _messages(flat, texts), _returns(flat, texts)]
    nested += [_attributes(flat, texts), _attempts(flat, texts, moments), _truncated(flat, texts)]
    texts.build(pa.string())
    moments.build(pa.string(), parsed)
    columns = {name: texts[place] for name, place in placed_texts.items()} | {
        name: moments[place] for name, place in placed_moments.items()
    }
    columns["waitingSeconds"] = seconds(columns["created"], moments[first_launched])
    columns["durationSeconds"] = seconds(columns["launched"], columns["completed"])
    for column in TASKS:
        if isinstance(column.type, Words):
            columns[column.name] = dictionary(scalars[column.name], column.type)
        elif column.type in _NUMBERS:
            columns[column.name] = pa.array(scalars[column.name], _NUMBERS[column.type])
    return columns | dict(make() for make in nested)


_Made = Callable[[], tuple[str, pa.Array]]
"""A column that can be made once the texts and times are there."""


def seconds(start: pa.Array, end: pa.Array) -> pa.Array:
    """From one time to the other."""
    micros = pc.subtract(end, start).view(pa.int64())
    return pc.divide(micros.cast(pa.float64(), safe=False), _MICROS)  # beyond 285 years a double is not exact


_INDICES: dict[tuple[str, ...], tuple[dict[str | None, int | None], pa.Array]] = {}


def _json_texts(values: list[Any]) -> pa.Array:
    """Each value as canonical JSON."""
    if not values:
        return pa.array([], pa.string())
    return pc.split_pattern(pa.array([json_lines(values)], pa.string()), ",\n  ").values


def dictionary(values: Sequence[str | None], type_: Words) -> pa.Array:
    """Words as a dictionary array, whose dictionary is always all of them."""
    if type_.words not in _INDICES:
        _INDICES[type_.words] = (
            {None: None, **{word: index for index, word in enumerate(type_.words)}},
            pa.array(type_.words, pa.string()),
        )
    indices, words = _INDICES[type_.words]
    return pa.DictionaryArray.from_arrays(pa.array(map(indices.__getitem__, values), pa.int8(), size=len(values)), words)


def _target(flat: Flat, texts: _Joined) -> _Made:
    found = flat.targets
    placed = [texts.place([None if each is None else each[member.name] for each in found]) for member in TARGET.members]
    return lambda: ("target", _struct([texts[place] for place in placed], TARGET_FIELDS, found))


def _definition(flat: Flat, texts: _Joined) -> _Made:
    found = flat.definitions
    members = DEFINITION.members[:-1]
    placed = [texts.place([None if each is None else each[member.name] for each in found]) for member in members]
    starts, keys, values = [0], list[str](), list[Any]()
    for each in found:
        if each is not None and each["arguments"]:
            arguments = each["arguments"]
            names = sorted(arguments)
            keys += names
            values += map(arguments.__getitem__, names)
        starts.append(len(keys))
    placed_keys, written = texts.place(keys), _json_texts(values)

    def make() -> tuple[str, pa.Array]:
        arguments = pa.MapArray.from_arrays(pa.array(starts, pa.int32()), texts[placed_keys], written)
        return "taskDefinitionSummary", _struct([*(texts[place] for place in placed), arguments], DEFINITION_FIELDS, found)

    return make


def _struct(members: list[pa.Array], fields: list[pa.Field], found: Sequence[object | None]) -> pa.Array:
    mask = pa.array([each is None for each in found], pa.bool_()) if None in found else None
    return pa.StructArray.from_arrays(members, fields=fields, mask=mask)


def _messages(flat: Flat, texts: _Joined) -> _Made:
    starts, found = flat.messages.starts, flat.messages.items
    words, keys = texts.place([each.type for each in found]), texts.place([each.key for each in found])
    locales = texts.place([each.localizedText.locale for each in found])
    said = texts.place([each.localizedText.message for each in found])
    given = [each.parameters for each in found]
    parameter_starts, parameters = [0], list[Any]()
    for each in given:
        parameters += each or ()
        parameter_starts.append(len(parameters))
    placed = _json_texts(parameters)

    def make() -> tuple[str, pa.Array]:
        text = pa.StructArray.from_arrays([texts[locales], texts[said]], fields=TEXT_FIELDS)
        filled = _listed(parameter_starts, placed, None if None not in given else [each is None for each in given])
        items = pa.StructArray.from_arrays([texts[words], text, texts[keys], filled], fields=MESSAGE_FIELDS)
        return "messages", _listed(starts, items, flat.gone)

    return make


def _returns(flat: Flat, texts: _Joined) -> _Made:
    starts, found = flat.returns.starts, flat.returns.items
    names, attributes = texts.place([name for _, name, _ in found]), texts.place([attribute for _, _, attribute in found])
    return lambda: (
        "returns",
        _listed(starts, pa.StructArray.from_arrays([texts[names], texts[attributes]], fields=RETURN_FIELDS), flat.gone),
    )


def _attributes(flat: Flat, texts: _Joined) -> _Made:
    starts, keys, values = flat.keys.starts, flat.keys.items, flat.values
    placed_keys, written = texts.place(keys), _json_texts(values)
    return lambda: ("attributes", _mapped(starts, texts[placed_keys], written, flat.gone))


def _attempts(flat: Flat, texts: _Joined, moments: _Joined) -> _Made:
    starts, found = flat.attempts.starts, flat.attempts.items
    launched = moments.place([stamp_time(each.launched) if each.launched else None for each in found])
    completed = moments.place([each.completed if each.status else None for each in found])
    status = texts.place([each.status or None for each in found])
    numbers = [each.number for each in found]

    def make() -> tuple[str, pa.Array]:
        members = [pa.array(numbers, pa.int32()), moments[launched], moments[completed], texts[status]]
        return "attempts", _listed(starts, pa.StructArray.from_arrays(members, fields=ATTEMPT_FIELDS), flat.gone)

    return make


def _truncated(flat: Flat, texts: _Joined) -> _Made:
    starts, found = flat.truncated.starts, flat.truncated.items
    placed = texts.place(found)
    return lambda: ("truncated", _listed(starts, texts[placed], flat.gone))


def _listed(starts: list[int], items: pa.Array, nulls: list[bool] | None) -> pa.Array:
    mask = None if nulls is None else pa.array(nulls, pa.bool_())
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), items, mask=mask)


def _mapped(starts: list[int], keys: pa.Array, values: pa.Array, nulls: list[bool] | None) -> pa.Array:
    mask = None if nulls is None else pa.array(nulls, pa.bool_())
    return pa.MapArray.from_arrays(pa.array(starts, pa.int32()), keys, values, mask=mask)
