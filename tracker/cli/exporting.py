"""``tracker export`` and ``tracker schema``: everything, into files."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from tracker.cli import options, output
from tracker.errors import TrackerError
from tracker.settings import Settings

if TYPE_CHECKING:
    from tracker.query.filters import Node

FORMATS = ("jsonl", "csv")


def export(
    store: options.Store = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="jsonl|csv", help="JSON Lines: one status a line; CSV: objects as JSON in cells.")
    ] = "jsonl",
    filter_: options.Filter = None,
    extension: Annotated[
        bool, typer.Option("--extension", help="Add the key tracker: state, attempts and more beyond the 18 keys.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Written whole or not at all; default: standard output.", show_default=False),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Write all statuses, in code point order of the ids: equal stores give equal bytes."""
    options.chosen(format_, FORMATS, "--format")
    settings, where = Settings.load().with_flags(store=store), options.where(filter_)
    with _target(out) as file:
        written = asyncio.run(_export(settings.store, file, format_, where, extension=extension, shown=not quiet and sys.stderr.isatty()))
    if out is not None and not quiet:
        output.note(f"{written:,} statuses written to {out}")


async def _export(url: str, file: TextIO, format_: str, where: Node | None, *, extension: bool, shown: bool) -> int:
    from tracker.query.api import open_query

    written = 0
    async with open_query(url) as query:
        write = _json_writer(file) if format_ == "jsonl" else csv_writer(file, extension=extension)
        with _bar(await query.count(where) if shown else None) as advance:
            async with aclosing(query.documents(where, extension=extension)) as documents:
                async for document in documents:
                    write(document)
                    written += 1
                    advance(written)
    return written


def _json_writer(file: TextIO) -> Any:
    def write(document: dict[str, Any]) -> None:
        file.write(output.to_json(document) + "\n")

    return write


def csv_writer(file: TextIO, *, extension: bool = False) -> Any:
    """A function that writes a document as a row of CSV (RFC 4180 but for line ends): null is empty, objects and arrays are JSON."""
    from tracker.model.status import TaskStatus

    names = [field.alias or name for name, field in TaskStatus.model_fields.items()] + (["tracker"] if extension else [])
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(names)

    def cell(value: Any) -> Any:
        return "" if value is None else value if isinstance(value, str | int) else output.to_json(value)

    def write(document: dict[str, Any]) -> None:
        rows.writerow([cell(document[name]) for name in names])

    return write


@contextlib.contextmanager
def _target(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name only once it is whole and on the disk."""
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    except OSError as error:
        raise TrackerError(f"{out} can't be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(out)
    except OSError as error:
        raise TrackerError(f"{out} can't be written: {error.strerror}") from None
    finally:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def _bar(total: int | None) -> Iterator[Any]:
    """A progress bar on standard error, told by number; None: none."""
    if total is None:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=output.console(error=True), transient=True) as progress:
        task = progress.add_task("export", total=total)

        def advance(written: int) -> None:
            if written % 500 == 0:
                progress.update(task, completed=written)

        yield advance


def schema(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; nothing there is deleted.")] = Path("schemas"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 3 if a file differs.")] = False,
) -> None:
    """Write the JSON Schemas of events and statuses, the AsyncAPI and OpenAPI documents and an example of each event."""
    from tracker.schema import check as differing
    from tracker.schema import write

    try:
        changed = differing(folder) if check else write(folder)
    except OSError as error:
        raise TrackerError(f"{folder} can't be {'read' if check else 'written'}: {error.strerror}") from None
    for path in changed:
        output.write_line(path)
    if check and changed:
        output.note(f"{len(changed)} files in {folder} differ from this version; tracker schema {folder} writes them")
        raise typer.Exit(3)
    if not check and not changed:
        output.note(f"{folder} is up to date")
