"""An event's bytes as they go into a log: made only where a worker will take them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tracker.errors import UsageError
from tracker.fold.decode import Decoder
from tracker.fold.event import Parked
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record
from tracker.sources.open import is_kafka


def now_text() -> str:
    """This moment as an event's time: RFC 3339, to the microsecond, in UTC."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def encoded(document: dict[str, Any], source: str, limits: Limits | None = None) -> bytes:
    """The event's bytes, as a worker will take them. Raises UsageError with the reason for which it would park them.

    The models know less than the decoder: not the size, the nesting or the numbers of members that they let through.
    """
    try:
        value = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the event can't be written as UTF-8: {error.object[error.start]!a} is no character") from None
    except RecursionError:
        raise UsageError("the event is nested too deep to be written") from None
    # The broker stamps a record when it comes; a file has no timestamps.
    timestamp_ms = int(datetime.now(UTC).timestamp() * 1000) if is_kafka(source) else None
    verdict = Decoder(limits or DEFAULT_LIMITS).decode(Record(source, 0, 0, value, timestamp_ms=timestamp_ms))
    if isinstance(verdict, Parked):
        raise UsageError(f"the event would be parked as {verdict.reason}: {verdict.detail}")
    return value
