"""``tracker status``: where the reading stands, and whether every record is accounted for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from tracker.cli import options, output
from tracker.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from tracker.query.report import PartitionReport, StatusReport

UNHEALTHY = 4
STALLED_S = 60.0
"""A partition with records to read that was not committed for so long, while a worker still reports its end, is stuck."""


def status(store: options.Store = None, as_json: options.AsJson = False) -> None:
    """Show positions, lag, counters and parked records. Exit code 4 if something is wrong: sums that do not add up, a stuck partition."""
    settings = Settings.load().with_flags(store=store)
    now = datetime.now(UTC)
    report = asyncio.run(_report(settings.store, now))
    troubles = find_troubles(report, now)
    if as_json:
        output.write_json({**report.to_json(), "healthy": not troubles, "troubles": troubles})
    else:
        from tracker.stores.postgres_url import without_password

        _print(report, without_password(settings.store), now)
        for trouble in troubles:
            output.note(f"unhealthy: {trouble}")
    if troubles:
        raise typer.Exit(UNHEALTHY)


async def _report(url: str, now: datetime) -> StatusReport:
    from tracker.query.api import open_query

    async with open_query(url) as query:
        return await query.status(now)


def find_troubles(report: StatusReport, now: datetime) -> list[str]:
    """What is wrong, a sentence each. Parked records are shown, but somebody else's broken events are no illness of the tracker."""
    troubles = []
    if not report.balanced:
        troubles.append("the counters do not add up: read is not applied + unchanged + ignored + parked")
    for each in report.partitions:
        if not each.lag_records:
            continue
        age_s = _age_s(each.committed_at, now)
        if age_s is None or age_s > STALLED_S:
            since = f"for {output.span(age_s)}" if age_s is not None else "yet"
            troubles.append(
                f"{each.topic}, partition {each.partition}: {each.lag_records:,} records to read, and nothing was committed {since}"
            )
    return troubles


def _age_s(text: str | None, now: datetime) -> float | None:
    if text is None:
        return None
    then = datetime.fromisoformat(text)
    return (now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()


def _print(report: StatusReport, url: str, now: datetime) -> None:
    from rich.text import Text

    console = output.console()
    sums = report.counters
    size = "" if report.size is None else f", {report.size.bytes / 1e6:,.1f} MB ({report.size.free_bytes / 1e6:,.1f} MB free)"
    purged = f", {report.purged:,} purged" if report.purged else ""
    console.print(Text(f"{url}: {report.tasks:,} tasks{purged}, revision {report.revision}{size}"))
    console.print(
        Text(
            f"{sums.read:,} read = {sums.applied:,} applied + {sums.unchanged:,} unchanged + {sums.ignored:,} ignored + {sums.parked:,} parked"
            + ("" if report.balanced else "   THESE DO NOT ADD UP"),
            style="" if report.balanced else "red",
        )
    )
    if report.parked_by_reason:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(report.parked_by_reason.items()))
        ratio = sums.parked / sums.read if sums.read else 0.0
        console.print(Text(f"parked ({ratio:.1%}): {reasons}; see tracker parked list", style="yellow"))
    for jump in report.jumps:
        console.print(
            Text(
                f"{jump.at.topic}, partition {jump.at.partition}: from offset {jump.stored} to {jump.chosen} by --on-lost-offset={jump.policy}, {jump.when}"
            )
        )
    if report.rebuild is not None:
        console.print(Text(_rebuild(report.rebuild)))
    if report.partitions:
        console.print(_table(report.partitions, now))
    else:
        console.print("nothing was read yet")


def _rebuild(note: dict[str, Any]) -> str:
    """How the last rebuild stands; another release may have noted it otherwise."""
    state, tasks, total = note.get("state", "in a state that this release does not know"), note.get("tasks"), note.get("total")
    share = f", {note.get('done', 0) / total:.0%}" if total and state in ("building", "catching-up", "verifying") else ""
    different = f", {note.get('different', 0):,} of {tasks:,} tasks different" if tasks else ""
    sources = output.visible(", ".join(note.get("sources", ())))
    return f"rebuild from {sources or 'its log'}: {state}{share}{different} ({note.get('notedAt', 'time unknown')})"


def _table(partitions: list[PartitionReport], now: datetime) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("topic", overflow="fold")
    for name in ("part", "next", "end", "lag", "behind", "read", "parked", "committed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("worker", overflow="fold")
    for each in partitions:
        age_s = _age_s(each.committed_at, now)
        row: list[Any] = [
            each.partition,
            f"{each.next_offset:,}",
            "-" if each.end_offset is None else f"{each.end_offset:,}",
            _lag(each),
            "-" if each.lag_seconds is None else output.span(each.lag_seconds),
            f"{each.counters.read:,}",
            f"{each.counters.parked:,}",
            "-" if age_s is None else f"{output.span(max(0.0, age_s))} ago",
            "-" if each.worker is None else output.visible(each.worker),
        ]
        table.add_row(Text(output.visible(each.topic)), *(Text(str(cell)) for cell in row))
    return table


def _lag(each: PartitionReport) -> str:
    if each.lag_records is not None:
        return f"{each.lag_records:,}"
    return f"unknown since {output.local_time(each.end_seen_at)}" if each.end_seen_at else "unknown"
