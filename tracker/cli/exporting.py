"""``tracker export`` and ``tracker schema``: everything, into files."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli import options, output
from tracker.errors import TrackerError, UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from tracker.cli.export_run import Wanted

FORMATS = ("jsonl", "csv", "parquet", "arrow")
BINARY = ("parquet", "arrow")
PARTITIONS = ("day", "status")


def export(
    store: options.Store = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="|".join(FORMATS),
            help="JSON Lines: one status a line, exactly the 18 keys; the others: the flat table, one row a task.",
        ),
    ] = "jsonl",
    filter_: options.Filter = None,
    extension: Annotated[
        bool,
        typer.Option(
            "--extension",
            help="Of JSON Lines: add the key tracker, with state, attempts and more. The other formats have these as columns.",
        ),
    ] = False,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            metavar="KEY:TYPE",
            help="A column of its own for an attribute, of type json, string, bool, int64, double or timestamp; NAME=KEY:TYPE gives it another name.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="REVISION",
            help="Only what changed after this revision or change token, what was deleted or purged told as such.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="FILE",
            help="Go on after the revision in this file (everything, where it is not there yet), and write the one reached into it.",
            show_default=False,
        ),
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option(
            "--partition",
            metavar="|".join(PARTITIONS),
            help="Files in folders of --out: by the day of creation (UTC), or by completionStatus.",
            show_default=False,
        ),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--events",
            metavar="FILE",
            help="Not the store's tasks but the events of this log (a file or a pattern), one row a record, refused ones too.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Written whole or not at all; {revision} in its name stands for the revision reached. Default: standard output.",
            show_default=False,
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            help="Of Parquet and Arrow: how many make the rows. [default: where there are many tasks, one a processor, or this one in machine code]",
            min=1,
            show_default=False,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Write all statuses, or what changed, in code point order of the ids: equal stores give equal bytes."""
    options.chosen(format_, FORMATS, "--format")
    if partition is not None:
        options.chosen(partition, PARTITIONS, "--partition")
    wanted = _wanted(
        format_,
        filter_,
        list(attribute or ()),
        extension=extension,
        since=since,
        state=state,
        partition=partition,
        out=out,
        processes=processes,
    )
    from tracker.cli import export_run

    settings = Settings.load().with_flags(store=store)
    shown = not quiet and sys.stderr.isatty()
    if events:
        if filter_ or attribute or since or state or partition:
            raise UsageError("--events writes a log as it is: it takes no --filter, --attribute, --since, --state or --partition")
        told = export_run.export_log(events, format_, out)
    else:
        wanted = replace(wanted, say=output.note) if not quiet else wanted
        told = export_run.export_tasks(settings.store, wanted, shown=shown)
    if out is not None and not quiet:
        for line in told:
            output.note(line)


def _wanted(
    format_: str,
    filter_: str | None,
    attribute: list[str],
    *,
    extension: bool,
    since: str | None,
    state: Path | None,
    partition: str | None,
    out: Path | None,
    processes: int | None,
) -> Wanted:
    """The options, looked at together. Raises UsageError."""
    from tracker.analytics.attributes import parse_attributes
    from tracker.analytics.reading import place_of
    from tracker.cli.export_run import Wanted

    attributes = parse_attributes(attribute)
    if attributes and format_ == "jsonl":
        raise UsageError("--attribute makes columns, and JSON Lines have none: choose --format parquet, arrow or csv")
    if since is not None and state is not None:
        raise UsageError("--since and --state both say where to go on from: give one of them")
    if partition is not None and (format_ not in BINARY or out is None):
        raise UsageError("--partition makes folders of Parquet or Arrow files: it needs --format parquet or arrow, and --out FOLDER")
    if state is not None and out is None:
        raise UsageError("--state needs --out: what went to standard output may be lost when the revision is written")
    return Wanted(
        format=format_,
        filters=filter_,
        where=options.where(filter_),
        attributes=attributes,
        extension=extension,
        since=None if since is None else place_of(since),
        state=state,
        partition=partition,
        out=out,
        processes=processes,
    )


def schema(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; nothing there is deleted.")] = Path("schemas"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 3 if a file differs.")] = False,
) -> None:
    """Write the JSON Schemas of events and statuses, the AsyncAPI and OpenAPI documents, the tables, and an example of each event."""
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
