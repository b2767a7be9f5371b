"""Opaque texts that a reader brings back: a position vector to wait for, and a place in a store's changes to go on from.

Both are URL-safe. A change token names its store, since a revision means nothing in another one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from tracker.errors import UsageError
from tracker.model.records import Position

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, int, int, str]]).decode
BEGINNING = "0"
"""The change token before the first change, of any store."""


class Place(NamedTuple):
    """Everything up to this revision of this store was told; an empty name is any store's."""

    store: str
    revision: int


def to_vector(positions: Iterable[Position]) -> str:
    """Positions as one text, for ``wait_for``."""
    parts = [(each.topic, each.partition, each.next_offset, each.identity) for each in positions]
    return base64.urlsafe_b64encode(_encode(parts)).rstrip(b"=").decode()


def from_vector(text: str) -> list[Position]:
    """The positions in a text of `to_vector`. UsageError: it is none."""
    try:
        return [Position(*part) for part in _decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))]
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise UsageError("expected a position vector as an earlier answer gave it, found something else") from None


def to_token(store: str, revision: int) -> str:
    """The change token of a place."""
    return f"{store}.{revision}"


def from_token(token: str) -> Place:
    """The place that a change token names. UsageError: it is none."""
    if token == BEGINNING:
        return Place("", 0)
    store, dot, revision = token.rpartition(".")
    if dot and store and revision.isascii() and revision.isdigit() and len(revision) < 20:
        return Place(store, int(revision))
    raise UsageError(f'expected a change token as an earlier answer gave it, or {BEGINNING} for the beginning; found "{token[:80]}"')
