"""``tracker parked``: the records that were refused."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.cli import options, output
from tracker.errors import NotFound, UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracker.stores.base import ParkedRecord, StatusStore

PAGE = 1_000
SHOWN_BYTES = 4_000
app = typer.Typer(help="The records that were refused: their reason, their bytes, and another try.", no_args_is_help=True)
Numbers = Annotated[list[int] | None, typer.Argument(metavar="[NUMBER]...", help="As `parked list` numbers them.", show_default=False)]
Reason = Annotated[
    str | None,
    typer.Option("--reason", metavar="REASON", help="too-large, not-json, not-an-event, invalid-data or future-time.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="All that still have their bytes.")]


def _reason(reason: str | None) -> str | None:
    from tracker.fold.event import REASONS

    return None if reason is None else options.chosen(reason, REASONS, "--reason")


@app.command("list")
def list_(
    store: options.Store = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", help="At most so many; 0: all.")] = 100,
    after: Annotated[int, typer.Option("--after", metavar="NUMBER", help="Those with a greater number.")] = 0,
    values: Annotated[bool, typer.Option("--values", help="With --json: each record's bytes, in base64.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List parked records, the oldest first."""
    if limit < 0:
        raise UsageError(f"--limit can't be {limit}: expected a whole number, 0 for all")
    settings = Settings.load().with_flags(store=store)
    records, more = asyncio.run(_records(settings.store, _reason(reason), after, limit))
    if as_json:
        output.write_json([record_json(each, values=values) for each in records])
    elif not records:
        output.note("nothing is parked")
    else:
        _print(records)
    if more:
        output.note(f"there are more; --after {records[-1].number} goes on, --limit 0 shows all")


async def _records(url: str, reason: str | None, after: int, limit: int) -> tuple[list[ParkedRecord], bool]:
    from tracker.query.api import open_query

    found: list[ParkedRecord] = []
    async with open_query(url) as query:
        while not limit or len(found) <= limit:
            page = await query.parked(after=found[-1].number if found else after, limit=PAGE, reason=reason)
            found += page
            if len(page) < PAGE:
                break
    return (found[:limit], len(found) > limit) if limit else (found, False)


def record_json(parked: ParkedRecord, *, values: bool = False) -> dict[str, Any]:
    """The shape of ``parked list --json``: a key that is not UTF-8 is null beside ``keyBase64``; a value that was dropped is null."""
    record = parked.record
    document: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "reason": parked.reason,
        "detail": parked.detail,
        "key": None,
        "number": parked.number,
        "dropped": parked.dropped,
    }
    if record.key is not None:
        try:
            document["key"] = record.key.decode()
        except UnicodeDecodeError:
            document["keyBase64"] = _base64(record.key)
    if values:
        document["value"] = None if parked.dropped or record.value is None else _base64(record.value)
        document["headers"] = [[name, None if value is None else _base64(value)] for name, value in record.headers]
        document["timestampMs"] = record.timestamp_ms
    return document


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _print(records: Sequence[ParkedRecord]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("reason", no_wrap=True)
    table.add_column("detail", overflow="fold")
    for each in records:
        where = f"{each.record.topic}/{each.record.partition} @{each.record.offset}"
        dropped = " (bytes dropped)" if each.dropped else ""
        table.add_row(
            str(each.number), Text(output.visible(where)), Text(each.reason, style="yellow"), Text(output.visible(each.detail) + dropped)
        )
    output.console().print(table)


@app.command("show")
def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `parked list` numbers it.")],
    store: options.Store = None,
    as_json: options.AsJson = False,
    raw: Annotated[bool, typer.Option("--raw", help="Nothing but the record's bytes, as they are.")] = False,
) -> None:
    """Show one parked record with its headers and bytes."""
    settings = Settings.load().with_flags(store=store)
    parked = asyncio.run(_record(settings.store, number))
    if parked is None:
        raise _not_there(number, settings)
    if as_json:
        output.write_json(record_json(parked, values=True))
        return
    value = parked.record.value
    if raw:
        if parked.dropped or value is None:
            raise NotFound(f"the parked record {number} has no bytes{' any more: they were dropped' if parked.dropped else ''}")
        typer.get_binary_stream("stdout").write(value)
        return
    for name, shown in record_json(parked).items():
        output.write_line(f"{name:<10} {output.plain(shown)}")
    for header, content in parked.record.headers:
        output.write_line(f"header     {output.visible(header)}: {output.visible((content or b'').decode(errors='replace'))}")
    if parked.dropped or value is None:
        output.write_line(f"value      {'dropped' if parked.dropped else '-'}")
    else:
        rest = f" … ({len(value):,} bytes; --raw has all)" if len(value) > SHOWN_BYTES else ""
        output.write_line(f"value      {output.visible(value[:SHOWN_BYTES].decode(errors='replace'))}{rest}")


async def _record(url: str, number: int) -> ParkedRecord | None:
    from tracker.query.api import open_query

    async with open_query(url) as query:
        return await query.parked_record(number)


@app.command("retry")
def retry(
    numbers: Numbers = None,
    all_: All = False,
    reason: Reason = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Decode parked records again under the store's rules; those that are events now are folded, the others stay."""
    from tracker.projector.retry import RetryTotals, retry_parked
    from tracker.stores.open import open_store

    settings, reason = Settings.load().with_flags(store=store), _reason(reason)
    chosen = _one_way(numbers, all_=all_, reason=reason)
    totals = RetryTotals()
    with open_store(settings.store, create=False) as opened:
        for some in [chosen] if chosen else _numbers(opened, reason):
            done = retry_parked(opened, some)
            for name in ("applied", "unchanged", "ignored", "still_parked"):
                setattr(totals, name, getattr(totals, name) + getattr(done, name))
    if as_json:
        output.write_json(
            {"applied": totals.applied, "unchanged": totals.unchanged, "ignored": totals.ignored, "stillParked": totals.still_parked}
        )
    else:
        output.write_line(
            f"{totals.applied:,} applied, {totals.unchanged:,} unchanged, {totals.ignored:,} ignored, {totals.still_parked:,} still parked"
        )


@app.command("drop")
def drop(
    numbers: Numbers = None,
    all_: All = False,
    reason: Reason = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete the bytes of parked records; the count stays, so that the sums add up."""
    from tracker.stores.open import open_store

    settings, reason = Settings.load().with_flags(store=store), _reason(reason)
    chosen = _one_way(numbers, all_=all_, reason=reason)
    dropped = 0
    with open_store(settings.store, create=False) as opened:
        for number in chosen:
            if opened.parked_record(number) is None:
                raise _not_there(number, settings)
        for some in [chosen] if chosen else _numbers(opened, reason):
            dropped += opened.drop_parked(some)
    if as_json:
        output.write_json({"dropped": dropped})
    else:
        output.write_line(f"the bytes of {dropped:,} parked records were dropped")


def _one_way(numbers: list[int] | None, *, all_: bool, reason: str | None) -> list[int]:
    """The numbers, if the records are named by them. Raises UsageError unless records are named in exactly one way."""
    if [bool(numbers), all_, reason is not None].count(True) != 1:
        raise UsageError("which records? give their numbers, or --reason REASON, or --all")
    return sorted(set(numbers or ()))


def _numbers(store: StatusStore, reason: str | None) -> Iterator[list[int]]:
    """All records that still have their bytes, page by page."""
    after = 0
    while page := store.parked(after=after, limit=PAGE, reason=reason):
        after = page[-1].number
        if with_bytes := [each.number for each in page if not each.dropped]:
            yield with_bytes


def _not_there(number: int, settings: Settings) -> NotFound:
    from tracker.stores.postgres_url import without_password

    return NotFound(f"there is no parked record {number} in {without_password(settings.store)}; see tracker parked list")
