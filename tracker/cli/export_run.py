"""What ``tracker export`` does: one snapshot of the store into one file or many, and the revision reached into a small one."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.analytics import needs
from tracker.analytics.attributes import Attribute
from tracker.analytics.reading import Reached, about, has_rows, reached, told
from tracker.cli import output
from tracker.cli.targets import binary_target, progress_bar, text_target
from tracker.errors import StoreChanged, TrackerError, UsageError
from tracker.fold.collector import without_collector
from tracker.query.base import Snapshot
from tracker.query.filters import Node
from tracker.query.following import changes, revision_in
from tracker.query.pages import BY_ID, parse_sorters
from tracker.query.questions import shown as document_of
from tracker.query.tokens import Place, from_token

log = logging.getLogger("tracker.export")
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Wanted:
    """What is to be exported, and where to."""

    format: str
    filters: str | None
    where: Node | None
    attributes: tuple[Attribute, ...]
    extension: bool
    since: Place | None
    state: Path | None
    partition: str | None
    out: Path | None
    processes: int | None
    say: Callable[[str], None] = log.info
    """Told, in a sentence for people, what will take long before the first row."""


def export_tasks(url: str, wanted: Wanted, *, shown: bool) -> list[str]:
    """Export, and say what was done, for people; ``shown``: with a progress bar. Raises our errors."""
    with without_collector():  # from here on: importing libraries makes it run too
        from tracker.query.blocking import connect

        if wanted.format in ("parquet", "arrow"):
            needs("pyarrow", f"--format {wanted.format}")
        since = wanted.since if wanted.state is None else _state_read(wanted.state, wanted.filters)
        with connect(url) as tasks:
            return tasks.ask(lambda snapshot: _export(snapshot, wanted, since, shown=shown))


def _export(snapshot: Snapshot, wanted: Wanted, since: Place | None, *, shown: bool) -> list[str]:
    at = reached(snapshot)
    try:
        revision = None if since is None else revision_in(snapshot, since)
    except StoreChanged as error:
        raise StoreChanged(f"{error}; to export everything, {_anew(wanted)}") from None
    if wanted.state is not None and revision == at.revision:
        return [f"nothing changed since revision {revision}: nothing written"]
    total = (snapshot.count(wanted.where) if since is None else snapshot.changed_count(since.revision, 10**9)) if shown else None
    with progress_bar(total) as advance:
        written, notes = _WRITERS[wanted.format](snapshot, wanted, since, at, advance)
    if wanted.state is not None:
        _state_write(wanted.state, at, wanted.filters)
    what = f"{written:,} statuses" if since is None else f"{written:,} changes after revision {since.revision}, up to {at.revision},"
    return [*notes, f"{what} written to {_named(wanted.out, at)}"]


def _anew(wanted: Wanted) -> str:
    return "leave --since out" if wanted.state is None else f"delete {wanted.state} and what was exported before"


def _named(out: Path | None, at: Reached) -> Path | None:
    return None if out is None else Path(str(out).replace("{revision}", str(at.revision)))


def _jsonl(snapshot: Snapshot, wanted: Wanted, since: Place | None, at: Reached, advance: Advance) -> tuple[int, list[str]]:
    def shown(row: Any) -> dict[str, Any]:
        return document_of(snapshot, row, extension=wanted.extension)

    if since is None:
        found: Iterator[Any] = map(shown, snapshot.rows(wanted.where, BY_ID))
    else:
        found = (
            {"id": change.id, "kind": change.kind, "token": change.token, "status": change.document}
            for change in changes(snapshot, since.revision, wanted.where, shown)
        )
    written = 0
    with text_target(_named(wanted.out, at)) as file:
        for document in found:
            file.write(output.to_json(document) + "\n")
            written += 1
            advance(written)
    return written, []


def _csv(snapshot: Snapshot, wanted: Wanted, since: Place | None, at: Reached, advance: Advance) -> tuple[int, list[str]]:
    from tracker.analytics.cells import CsvFile

    with text_target(_named(wanted.out, at)) as file:
        table = CsvFile(file, snapshot.limits, wanted.attributes)
        return table.write_all(told(snapshot, wanted.where, since), advance), _misfits(table.misfits, wanted)


def _arrow(snapshot: Snapshot, wanted: Wanted, since: Place | None, at: Reached, advance: Advance) -> tuple[int, list[str]]:
    made = _batches(snapshot, wanted, since, about(at, since, wanted.filters))
    from tracker.analytics.files import ArrowFile, ParquetFile, write_all

    of_format = ParquetFile if wanted.format == "parquet" else ArrowFile
    out = _named(wanted.out, at)
    if wanted.partition is not None and out is not None:
        written = _parted(out, snapshot, wanted, since, at, advance, made, of_format)
    else:
        with binary_target(out, wanted.format) as sink:
            written = write_all(of_format(sink, made.schema), made.read(snapshot, wanted.where, since), advance)
    return written, _misfits(made.misfits, wanted)


def _batches(snapshot: Snapshot, wanted: Wanted, since: Place | None, told_of_it: dict[str, Any]) -> Any:
    """What makes record batches: machine code or other processes, where there is enough to do."""
    from tracker.analytics.compiled import compiled_batches

    processes = wanted.processes
    if processes is None:
        compiled = compiled_batches(snapshot, wanted.where, since, wanted.attributes, told_of_it, wanted.say)
        if compiled is not None:
            return compiled
    from tracker.analytics.arrow import Batches
    from tracker.analytics.pool import LEAST_ROWS, PooledBatches

    if processes is None:
        processes = (os.cpu_count() or 1) if has_rows(snapshot, wanted.where, since, LEAST_ROWS) else 1
    return Batches(wanted.attributes, told_of_it) if processes == 1 else PooledBatches(processes, wanted.attributes, told_of_it)


def _parted(
    folder: Path,
    snapshot: Snapshot,
    wanted: Wanted,
    since: Place | None,
    at: Reached,
    advance: Advance,
    made: Any,
    of_format: Any,
) -> int:
    from tracker.analytics.partitions import PartitionedFiles

    assert wanted.partition is not None
    if since is None and folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} is not empty, and would have tasks twice: name a new folder, or go on after a revision with --since or --state"
        )
    # By day, one folder after the other is filled.
    order = parse_sorters("created,id") if wanted.partition == "day" and since is None else BY_ID
    files = PartitionedFiles(folder, wanted.partition, f"tasks-{at.revision}", wanted.format, lambda sink: of_format(sink, made.schema))
    try:
        written = files.write_all(made.read(snapshot, wanted.where, since, order), advance)
        files.commit()
    except OSError as error:
        raise TrackerError(f"{folder} can't be written: {error.strerror}") from None
    finally:
        files.discard()
    return written


_WRITERS = {"jsonl": _jsonl, "csv": _csv, "parquet": _arrow, "arrow": _arrow}


def _misfits(misfits: dict[str, int], wanted: Wanted) -> list[str]:
    types = {attribute.name: attribute.type for attribute in wanted.attributes}
    return [f"column {name}: {count:,} values are no {types[name]}, and null there" for name, count in misfits.items()]


def export_log(paths: list[str], format_: str, out: Path | None) -> list[str]:
    """Export the records of log files, and say how many of them were refused. Raises our errors."""
    from tracker.analytics.records import Rows, log_records, write_text

    records, rows = log_records(paths), Rows()
    if format_ in ("jsonl", "csv"):
        with text_target(out) as file:
            write_text(file, records, rows, format_)
    else:
        needs("pyarrow", f"--format {format_}")
        from tracker.analytics.arrow import arrow_schema
        from tracker.analytics.columns import EVENTS
        from tracker.analytics.files import ArrowFile, ParquetFile, write_all
        from tracker.analytics.log import record_batches

        with binary_target(out, format_) as sink:
            file_type = ParquetFile if format_ == "parquet" else ArrowFile
            write_all(file_type(sink, arrow_schema(EVENTS)), record_batches(records, rows))
    events, ignored, parked = rows.counts["event"], rows.counts["ignored"], rows.counts["parked"]
    told = f"{events + ignored + parked:,} records = {events:,} events + {ignored:,} ignored + {parked:,} parked written to {out}"
    return [told, *(["records were refused: the columns outcome, reason and detail say which and why"] if parked else [])]


def _state_read(path: Path, filters: str | None) -> Place | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise TrackerError(f"{path} can't be read: {error}") from None
    try:
        state = json.loads(text)
        place, before = from_token(state["token"]), state.get("filters")
    except (ValueError, KeyError, TypeError, AttributeError, UsageError):
        raise UsageError(
            f'{path} is no state of an export: expected {{"token": …}} as an earlier run wrote it, found {text[:80]!r}'
        ) from None
    if before != filters:
        raise UsageError(
            f"{path} is of an export with another filter ({before}): what that left out would be missing; name another --state and --out"
        )
    return place


def _state_write(path: Path, at: Reached, filters: str | None) -> None:
    with text_target(path) as file:
        file.write(json.dumps({"token": at.token, "revision": at.revision, "filters": filters}) + "\n")
