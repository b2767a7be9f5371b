"""``tracker histogram``: how many tasks were created, changed, launched or ended when, as bars."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli import completing, options, output
from tracker.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from tracker.query.filters import Node
    from tracker.query.histogram import Histogram

_PARTS = " ▏▎▍▌▋▊▉"
_STYLES = ("cyan", "magenta", "blue", "yellow", "green", "red")
"""Of values that have no colour of their own, by their place."""
MIN_BAR_CELLS = 10


def histogram(
    store: options.Store = None,
    filter_: options.Filter = None,
    over: Annotated[
        str,
        typer.Option("--over", metavar="TIME", help="created, modified, launched or completed.", autocompletion=completing.times),
    ] = "created",
    bucket: Annotated[
        str | None,
        typer.Option("--bucket", metavar="WIDTH", help="Of one bar, such as 30s, 5m, 1h or 7d; default: what fits.", show_default=False),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="From then on, such as 2026-01-31 or now-2h.", show_default=False),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before then.", show_default=False)] = None,
    by: options.By = None,
    as_json: options.AsJson = False,
) -> None:
    """Show over time how many tasks were created (or modified, launched, completed): a bar for each stretch."""
    at = options.now()
    settings, where = Settings.load().with_flags(store=store), options.where(filter_, at)
    found = asyncio.run(_histogram(settings.store, where, over, bucket, since, until, by, at))
    if as_json:
        output.write_json(found.to_json())
    elif not found.buckets:
        output.note("no task matches")
    else:
        _draw(found)


async def _histogram(
    url: str, where: Node | None, over: str, bucket: str | None, since: str | None, until: str | None, by: str | None, at: datetime
) -> Histogram:
    from tracker.query.api import open_query

    async with open_query(url) as query:
        return await query.histogram(where, over, bucket=bucket, since=since, until=until, by=by, now=at)


def _draw(found: Histogram) -> None:
    from rich.text import Text

    console = output.console()
    seen = [place for place in range(len(found.values)) if any(bucket.counts[place] for bucket in found.buckets)]
    if seen:
        legend = (Text.assemble(("█ ", _style(found.values[place], place)), output.plain(found.values[place])) for place in seen)
        console.print(Text("  ").join(legend))
    length = {"s": 19, "m": 16, "h": 16, "d": 10}[found.bucket[-1]]
    most = max(bucket.count for bucket in found.buckets)
    cells = max(MIN_BAR_CELLS, console.width - length - len(f"{most:,}") - 3)
    skipped = 0
    for bucket in found.buckets:
        if not bucket.count:
            skipped += 1
            continue
        if skipped:
            console.print(Text(f"{'':{length}} {skipped:,} × {found.bucket} without a task", style="bright_black"))
            skipped = 0
        segments = [(count, _style(value, place)) for place, (value, count) in enumerate(zip(found.values, bucket.counts, strict=True))]
        segments.append((bucket.count - sum(bucket.counts), "" if found.values else _STYLES[0]))
        line = Text(bucket.start[:length].replace("T", " ") + " ").append_text(_bar(segments, most, cells)).append(f" {bucket.count:,}")
        console.print(line, no_wrap=True, overflow="crop")


def _bar(segments: list[tuple[int, str]], most: int, cells: int) -> Text:
    """Segments end to end; the last one ends on an eighth of a cell, the others, beside which there is no room, on whole ones."""
    from rich.text import Text

    text, told, drawn = Text(), 0, 0
    segments = [segment for segment in segments if segment[0]]
    for place, (count, style) in enumerate(segments, 1):
        told += count
        eighths = max(1, told * cells * 8 // most)
        if place < len(segments):
            full = round(eighths / 8)
            text.append("█" * (full - drawn), style=style)
            drawn = max(drawn, full)
        else:
            text.append("█" * (eighths // 8 - drawn) + _PARTS[eighths % 8].strip(), style=style)
    return text


def _style(value: str | int | None, place: int) -> str:
    own = output.styled(value).style if isinstance(value, str) else ""
    return str(own or _STYLES[place % len(_STYLES)])
