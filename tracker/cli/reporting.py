"""``tracker report``: outcomes, durations, failures, slow and silent tasks as one HTML file with pictures."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli import completing, options, output
from tracker.cli.targets import progress_bar, text_target
from tracker.errors import FilterError, UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from tracker.analytics.report import Findings

DEFAULT_OUT = Path("report.html")


def report(
    store: options.Store = None,
    filter_: options.Filter = None,
    over: Annotated[
        str,
        typer.Option(
            "--over",
            metavar="TIME",
            help="What the period is of, and the first picture: created, modified, launched or completed.",
            autocompletion=completing.times,
        ),
    ] = "created",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="From then on, such as 2026-01-31 or now-7d.", show_default=False),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before then.", show_default=False)] = None,
    bucket: Annotated[
        str | None,
        typer.Option("--bucket", metavar="WIDTH", help="Of one bar, such as 5m, 1h or 7d; default: what fits.", show_default=False),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="The moment that ages and relative times count from: the same store gives the same file. [default: now]",
            show_default=False,
        ),
    ] = None,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Stands at the top.")] = "Task report",
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Written whole or not at all; -: standard output.")
    ] = DEFAULT_OUT,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as one JSON document on standard output, and no file.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Write one HTML file of how tasks ended, how long they took and waited, why they failed, and which are slow or silent."""
    at = _moment(as_of) if as_of is not None else options.now()
    options.where(filter_, at)  # which points at what is wrong in it
    settings = Settings.load().with_flags(store=store)
    found = asyncio.run(_found(settings.store, filter_, over, since, until, bucket, at, shown=not quiet and sys.stderr.isatty()))
    if as_json:
        output.write_json(found.to_json())
        return
    from tracker.analytics.report import page
    from tracker.telemetry import masked

    text = page(found, store=masked(settings.store), title=title)
    to_file = str(out) != "-"
    with text_target(out if to_file else None) as file:
        file.write(text)
    if to_file and not quiet:
        output.note(f"a report of {found.tasks:,} tasks written to {out}")


async def _found(
    url: str,
    filter_: str | None,
    over: str,
    since: str | None,
    until: str | None,
    bucket: str | None,
    at: datetime,
    *,
    shown: bool,
) -> Findings:
    from tracker.analytics.report import findings, selected
    from tracker.query.api import open_query

    async with open_query(url) as query:
        # The bar's end may be of another revision; what the report tells is of one.
        total = await query.count(selected(filter_, over, since=since, until=until, now=at)) if shown else None
        with progress_bar(total, "report") as told:
            return await query.ask(findings(filter_, over, since=since, until=until, bucket=bucket, now=at, told=told))


def _moment(text: str) -> datetime:
    from tracker.model.times import to_datetime
    from tracker.query.values import moment

    try:
        return to_datetime(moment(text, 1, options.now()).prefix)
    except FilterError:
        raise UsageError(f'--as-of: expected a time such as 2026-01-31, 2026-01-31T09:30:00Z or now-1h, found "{text}"') from None
