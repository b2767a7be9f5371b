"""The logs that a rebuild or an audit reads: by itself, in no group, from the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from tracker.errors import UsageError
from tracker.sources.base import Source
from tracker.sources.jsonl import JsonlSource
from tracker.sources.lines import MAX_RECORD_BYTES
from tracker.sources.open import is_kafka, kafka_missing


class Logs(msgspec.Struct, frozen=True):
    """What is read: files (an archive, say) and then, where it is given, a source."""

    files: tuple[str, ...] = ()
    source: str | None = None
    kafka_config: str | None = None
    max_record_bytes: int | None = None

    @property
    def names(self) -> list[str]:
        """Their texts."""
        return [*self.files, *([self.source] if self.source is not None else [])]

    def open(self) -> list[Source]:
        """The sources, not entered yet. Raises `UsageError` for standard input, which can be read only once."""
        if "-" in self.names:
            raise UsageError("standard input can't be read again: name the log's files, or its topic")
        opened: list[Source] = [self._files(self.files)] if self.files else []
        if self.source is not None:
            opened.append(self._kafka(self.source) if is_kafka(self.source) else self._files([self.source]))
        return opened

    def _files(self, paths: Sequence[str]) -> Source:
        if kafka := [path for path in paths if is_kafka(path)]:
            raise UsageError(f"{kafka[0]} is no file: name a topic with --source")
        # Bounded: the whole file as it is now, and again as it is later.
        return JsonlSource(list(paths), max_record_bytes=max(MAX_RECORD_BYTES, self.max_record_bytes or 0))

    def _kafka(self, text: str) -> Source:
        from tracker.sources.kafka_url import parse_kafka_url

        try:
            from tracker.sources.kafka import KafkaSource
            from tracker.sources.kafka_config import read_kafka_config
        except ImportError as error:
            raise kafka_missing(error) from None
        config = read_kafka_config(Path(self.kafka_config)) if self.kafka_config is not None else None
        return KafkaSource(replace(parse_kafka_url(text), group=None), config=config, start_timeout_s=30.0)
