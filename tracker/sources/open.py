"""A source from its text: ``kafka://…`` or names of files."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from tracker.errors import UsageError
from tracker.sources.base import OnRevoked, Source
from tracker.sources.lines import MAX_RECORD_BYTES

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NEARLY_KAFKA = re.compile(r"kafka(?::/*|//+)", re.IGNORECASE)
_FORMS = "kafka://host:9092/topic, a file of JSON lines such as events.jsonl, a pattern such as log/*.jsonl.gz, or - for standard input"


def is_kafka(text: str) -> bool:
    """Whether a source's text names Kafka. Raises UsageError for another scheme, and for what is nearly a Kafka URL but no file."""
    match = _SCHEME.match(text)
    if match is None:
        if (nearly := _NEARLY_KAFKA.match(text)) is not None and not Path(text).exists():
            raise UsageError(f"a source can't be {text}: did you mean kafka://{text[nearly.end() :]}?")
        return False
    scheme = match[1].lower()
    if scheme == "kafka":
        return True
    if scheme == "file":
        raise UsageError(f"a file is named without a scheme: expected {text[7:]!r}, got {text!r}")
    near = difflib.get_close_matches(scheme, ["kafka"], n=1, cutoff=0.5)
    raise UsageError(f"a source can't be {scheme}://…: {'did you mean kafka://?' if near else f'expected {_FORMS}'}")


def kafka_missing(error: ImportError) -> UsageError:
    """What to say where the extra is not installed."""
    return UsageError(f"Kafka needs an extra that is not installed ({error.name}): pip install 'tracker[kafka]'")


def open_source(
    text: str,
    *,
    follow: bool = False,
    on_revoked: OnRevoked | None = None,
    kafka_config: str | Path | None = None,
    instance: str | None = None,
    start_timeout_s: float | None = None,
    max_record_bytes: int | None = None,
) -> Source:
    """The source that ``text`` names (an async context manager, not entered yet).

    ``follow`` is for files; a topic is always followed. ``kafka_config`` (a properties file), ``instance`` and
    ``start_timeout_s`` are for Kafka. Raises UsageError for a text that names no source, NotFound for the properties.
    """
    if not text:
        raise UsageError(f"a source can't be empty: expected {_FORMS}")
    if not is_kafka(text):
        from tracker.sources.jsonl import JsonlSource

        if instance is not None:
            raise UsageError("--instance names a member of a Kafka group, and files have no group")
        # The bound on a line only guards memory; where records may be larger than it, it goes up with them.
        return JsonlSource([text], follow=follow, max_record_bytes=max(MAX_RECORD_BYTES, max_record_bytes or 0))
    from tracker.sources.kafka_url import parse_kafka_url

    url = parse_kafka_url(text)
    try:
        from tracker.sources.kafka import KafkaSource
        from tracker.sources.kafka_config import read_kafka_config
    except ImportError as error:
        raise kafka_missing(error) from None
    config = read_kafka_config(kafka_config) if kafka_config is not None else None
    return KafkaSource(url, on_revoked=on_revoked, config=config, instance=instance, start_timeout_s=start_timeout_s)
