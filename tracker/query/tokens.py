"""Opaque texts that a reader brings back: a position vector to wait for, and a revision to go on from.

Both are URL-safe. A revision token names its store, since a revision means nothing in another one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

import msgspec

from tracker.errors import UsageError
from tracker.model.records import Position

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, int, int, str]]).decode


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
