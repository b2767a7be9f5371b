"""The limits in force. They decide what a status is, so a store remembers those it was made with and refuses others."""

from __future__ import annotations

import msgspec

FOLD_VERSION = 1
"""Raised with every change of the fold's meaning or of a state's bytes: a store of another version is refused."""
MAX_DEPTH = 64
"""Levels of nesting, counted from the event's own object (of a binary event: from ``data``)."""
MAX_FIELD_BYTES = 65_536
"""Canonical JSON of one field, of one attribute's value, or of one message as a whole."""
MAX_ID_CODE_POINTS = 256
MAX_ATTEMPT = 2**31 - 1
MAX_SEQUENCE = 2**63 - 1
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a record may be, and how much of a task is kept. Defaults are the contract's."""

    max_record_bytes: int = 1_048_576
    """A larger value is parked as ``too-large``."""
    max_future_s: int = 86_400
    """A time that lies further after the record's own timestamp is parked as ``future-time``."""
    messages: int = 1_000
    """The latest that are kept of a task's messages."""
    returns: int = 1_000
    """The first that are kept of a task's returns."""
    attributes: int = 1_000
    """The first attribute keys, in code point order, that are kept of a task."""
    attempts: int = 100
    """The greatest attempts that are kept of a task."""


DEFAULT_LIMITS = Limits()
