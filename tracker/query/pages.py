"""Sorters (``-modified,id``) and the opaque cursors that a page ends with.

Every order is total: the id comes last. Text sorts by code point, nulls come last in both directions. A cursor holds the order and the
sort values of the last row that was given, so a page goes on from there whatever was written in between.
"""

from __future__ import annotations

import base64
import binascii
from typing import Generic, TypeAlias, TypeVar

import msgspec

from tracker.errors import UsageError
from tracker.query.fields import FIELDS, SORTABLE, Field, Kind, suggestion

DEFAULT_SORTERS = "created,id"
MAX_SORTERS = 8
T = TypeVar("T")

Key: TypeAlias = tuple[str | int | None, ...]
"""A row's values of the sort fields, in their order."""


class Sort(msgspec.Struct, frozen=True):
    """One field of an order."""

    field: Field
    descending: bool = False


Order: TypeAlias = tuple[Sort, ...]
BY_ID: Order = (Sort(FIELDS["id"]),)


class Page(msgspec.Struct, Generic[T]):
    """Some rows of a listing, and the cursor to go on with; None at the end."""

    items: list[T]
    next: str | None
    looked_at: int | None = None
    """Rows looked at, where a filter had to be decided on each and the limit of that ended the page early; else None."""


class _Cursor(msgspec.Struct, array_like=True):
    sorters: str
    key: Key


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Cursor).decode


def parse_sorters(text: str | None) -> Order:
    """``-modified,id`` as an order that ends with the id; by ``created`` if nothing is given. UsageError: no such field, or one named twice."""
    order: list[Sort] = []
    for part in (text or DEFAULT_SORTERS).split(","):
        name = part.strip()
        descending = name.startswith("-")
        field = SORTABLE.get(name.removeprefix("-"))
        if field is None:
            known = suggestion(name.removeprefix("-"), SORTABLE) or "; fields are " + ", ".join(SORTABLE)
            raise UsageError(f'sorters: expected fields with "-" before those that descend, such as -modified,id; found "{name}"{known}')
        if any(sort.field is field for sort in order):
            raise UsageError(f'sorters: "{field.name}" is named twice')
        order.append(Sort(field, descending))
    if len(order) > MAX_SORTERS:
        raise UsageError(f"sorters: at most {MAX_SORTERS} fields, not {len(order)}")
    if order[-1].field is not FIELDS["id"]:
        order.extend(sort for sort in BY_ID if all(each.field is not sort.field for each in order))
    return tuple(order)


def sorters_text(order: Order) -> str:
    """The order as a sorters text."""
    return ",".join(("-" if sort.descending else "") + sort.field.name for sort in order)


def to_cursor(order: Order, key: Key) -> str:
    """The cursor after the row with this key: URL-safe text."""
    return base64.urlsafe_b64encode(_encode(_Cursor(sorters_text(order), key))).rstrip(b"=").decode()


def from_cursor(order: Order, cursor: str) -> Key:
    """The key in a cursor. UsageError: it is none, or belongs to another order."""
    try:
        held = _decode(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise UsageError('expected a cursor that an earlier page gave as its "next", found something else') from None
    if held.sorters != sorters_text(order) or len(held.key) != len(order):
        raise UsageError(f'the cursor belongs to a listing sorted by "{held.sorters}", not by "{sorters_text(order)}"')
    for sort, value in zip(order, held.key, strict=True):
        fits = (value is None and sort.field.nullable) or type(value) is (int if sort.field.kind in (Kind.NUMBER, Kind.DURATION) else str)
        if not fits or (type(value) is int and not -(2**63) <= value < 2**63):
            raise UsageError(f'the cursor has no value of "{sort.field.name}" to go on from')
    return held.key
