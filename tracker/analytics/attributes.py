"""Attributes that have a column of their own, beside their place in the map: ``--attribute identityCount:int64``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tracker.analytics.columns import TASKS, TIME, Column
from tracker.errors import UsageError
from tracker.fold.json_text import canonical
from tracker.model.times import to_utc


class Attribute(NamedTuple):
    """One of them."""

    name: str
    key: str
    type: str
    """One of `TYPES`."""

    @property
    def column(self) -> Column:
        """The column."""
        type_ = {"json": "string", "timestamp": TIME}.get(self.type, self.type)
        what = "as canonical JSON text" if self.type == "json" else "null where there is none, or it is of another type"
        return Column(self.name, type_, f"The attribute `{self.key}`, {what}.")


def _time(value: object) -> str | None:
    try:
        return to_utc(value) if isinstance(value, str) and value else None
    except ValueError:
        return None


TYPES: dict[str, Callable[[Any], Any]] = {
    "json": lambda value: canonical(value).decode(),
    "string": lambda value: value if isinstance(value, str) else None,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "int64": lambda value: value if type(value) is int and value < 2**63 else None,
    "double": lambda value: float(value) if type(value) in (int, float) else None,
    "timestamp": _time,
}
"""What a column may be of -> the value that it has of an attribute; None: it is of another type. A time is 26 characters of UTC."""


def parse_attribute(text: str) -> Attribute:
    """``KEY``, ``KEY:TYPE`` or ``NAME=KEY:TYPE``; without a type it is JSON text. Raises UsageError."""
    rest, colon, type_ = text.rpartition(":")
    if not colon:
        rest, type_ = text, "json"
    elif type_ not in TYPES:
        raise UsageError(f'attribute "{text}": expected KEY:TYPE with a type of {", ".join(TYPES)}, found "{type_}"')
    name, equals, key = rest.partition("=")
    if not name:
        raise UsageError(f'attribute "{text}": expected KEY:TYPE or NAME=KEY:TYPE, found no name')
    return Attribute(name, key if equals else name, type_)


def parse_attributes(texts: Iterable[str]) -> tuple[Attribute, ...]:
    """All of them. Raises UsageError, also where two columns would have one name."""
    attributes = tuple(map(parse_attribute, texts))
    with_attributes(attributes)
    return attributes


def with_attributes(attributes: Iterable[Attribute]) -> tuple[Column, ...]:
    """The table of tasks with the attributes' columns behind the others. Raises UsageError where two have one name."""
    columns = [*TASKS, *(attribute.column for attribute in attributes)]
    names = set[str]()
    for column in columns:
        # Many engines tell columns apart without case.
        if (folded := column.name.casefold()) in names:
            raise UsageError(
                f'attribute "{column.name}": the table has a column of that name; give this one another, as in my_{column.name}={column.name}:string'
            )
        names.add(folded)
    return tuple(columns)


def fitted(values: Iterable[tuple[int, Any]], rows: int, attribute: Attribute) -> tuple[list[Any], int]:
    """Each row's value as its column has it, None where it has none; and how many there are that do not fit the column."""
    found, misfits, fit = list[Any]([None] * rows), 0, TYPES[attribute.type]
    for row, value in values:
        found[row] = None if value is None and attribute.type != "json" else fit(value)
        misfits += found[row] is None and value is not None
    return found, misfits
