"""``list``, ``get``, ``count`` and ``why``: the query module on the command line."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.cli import options, output
from tracker.errors import NotFound, UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from tracker.query.api import TaskQuery
    from tracker.query.filters import Node

FORMATS = ("table", "json", "jsonl", "csv")
DEFAULT_LIMIT = 50


def list_(
    store: options.Store = None,
    filter_: options.Filter = None,
    sort: options.Sort = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", metavar="N", help=f"At most so many; 0: all. [default: {DEFAULT_LIMIT}]", show_default=False),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="|".join(FORMATS), help="[default: table on a terminal, else jsonl]", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json: one array.")] = False,
    after: Annotated[
        str | None,
        typer.Option(
            "--after", metavar="CURSOR", help="Go on after an earlier page, whose last line on standard error has it.", show_default=False
        ),
    ] = None,
    offset: Annotated[
        int | None, typer.Option("--offset", metavar="N", help="Leave out the first so many. [default: 0]", show_default=False)
    ] = None,
    extension: Annotated[bool, typer.Option("--extension", help="Add the key tracker to the documents.")] = False,
) -> None:
    """List tasks: the newest first, unless --sort says otherwise."""
    if as_json and format_ not in (None, "json"):
        raise UsageError(f"--json and --format {format_} contradict each other: give one of them")
    chosen = options.chosen(format_ or ("json" if as_json else "table" if output.is_terminal() else "jsonl"), FORMATS, "--format")
    limit = DEFAULT_LIMIT if limit is None else limit
    if limit < 0:
        raise UsageError(f"--limit can't be {limit}: expected a whole number, 0 for all")
    settings, where = Settings.load().with_flags(store=store), options.where(filter_)
    asyncio.run(_list(settings.store, where, sort or "-modified", limit, chosen, after, offset or 0, extension=extension))


async def _list(
    url: str, where: Node | None, sorters: str, limit: int, format_: str, after: str | None, offset: int, *, extension: bool
) -> None:
    from tracker.cli.output import csv_writer
    from tracker.query.api import open_query
    from tracker.query.questions import MAX_LIMIT

    found: list[dict[str, Any]] = []
    write = csv_writer(sys.stdout, extension=extension) if format_ == "csv" else output.write_json if format_ == "jsonl" else found.append
    number, cursor, skipped = 0, after, offset
    async with open_query(url) as query:
        if 0 < limit <= MAX_LIMIT or after or offset:
            while True:  # an index gives a page without sorting all
                size = min(limit - number, MAX_LIMIT) if limit else MAX_LIMIT
                page = await query.documents_page(where, sorters, size, cursor, offset=offset, extension=extension, scan_limit=None)
                number, cursor, offset = number + len(page.items), page.next, 0
                for document in page.items:
                    write(document)
                if cursor is None or number == limit:
                    break
            more = cursor is not None
        else:
            more = False
            async with aclosing(query.documents(where, sorters, extension=extension)) as documents:
                async for document in documents:
                    if limit and number == limit:
                        more = True
                        break
                    number += 1
                    write(document)
        total = await query.count(where) if more else number
    if format_ == "json":
        output.write_json(found)
    elif format_ == "table":
        from tracker.cli.live import task_table

        console = output.console()
        console.print(task_table(found, console.width))
    if more:
        output.note(f"{number:,} of {total:,} tasks; --limit 0 shows all" + (f", and these go on with\n--after {cursor}" if cursor else ""))
    elif not number:
        output.note("the store has no tasks yet" if where is None and not after and not skipped else "no task matches")


def get(
    task: options.Task,
    store: options.Store = None,
    as_json: options.AsJson = False,
    extension: Annotated[
        bool, typer.Option("--extension", help="Add the key tracker: state, attempts and more beyond the 18 keys.")
    ] = False,
) -> None:
    """Show one task's status: its 18 fields. Exit code 1 if there is no such task."""
    settings = Settings.load().with_flags(store=store)
    document = asyncio.run(_get(settings.store, task, extension=extension))
    if as_json or not output.is_terminal():
        output.write_json(document)
    else:
        output.console().print(_card(document))


async def _get(url: str, task: str, *, extension: bool) -> dict[str, Any]:
    from tracker.query.api import open_query

    async with open_query(url) as query:
        document = await query.document(task, extension=extension)
        if document is None:
            raise NotFound(await absence(query, url, task))
    return document


async def absence(query: TaskQuery, url: str, task: str) -> str:
    """Why a task is not shown, in a sentence."""
    from tracker.query.questions import purged

    there_is_none = f"there is no task {task} in {url} (it may be deleted, or none of its events was folded yet)"
    return await query.ask(purged(task), small=True) or there_is_none


def _card(document: dict[str, Any]) -> Table:
    from rich.json import JSON
    from rich.table import Table
    from rich.text import Text

    state = output.state_of(document)
    card = Table(box=None, show_header=False, pad_edge=False)
    card.add_column(style="bold", no_wrap=True)
    card.add_column(overflow="fold")
    for name, value in document.items():
        if name == "completionStatus":
            card.add_row(name, output.styled(value))
        elif name == "percentComplete":
            card.add_row(name, output.bar(value, state))
        elif name == "messages" and value:
            card.add_row(name, Text("\n".join(_message(message) for message in value)))
        elif isinstance(value, dict | list) and value:
            card.add_row(name, JSON.from_data(value, indent=2, ensure_ascii=True))
        else:
            card.add_row(name, Text(output.plain(value), style="bright_black" if value in (None, "", [], {}) else ""))
    return card


def _message(message: dict[str, Any]) -> str:
    return output.visible(f"{message['type']}  {message['localizedText']['message']}  ({message['key']})")


def count(
    store: options.Store = None,
    filter_: options.Filter = None,
    by: options.By = None,
    cap: Annotated[
        int | None, typer.Option("--cap", metavar="N", help="Count no further; where there are more, N+ is shown.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Count tasks."""
    if by is not None and cap is not None:
        raise UsageError("--by counts all values and --cap ends the counting early: give one of them")
    settings, where = Settings.load().with_flags(store=store), options.where(filter_)
    if by is None:
        number, exact = asyncio.run(_count(settings.store, where, cap))
        if as_json:
            output.write_json({"count": number} | ({} if cap is None else {"exact": exact}))
        else:
            output.write_line(str(number) if exact else f"{number}+")
        return
    counted = asyncio.run(_counts(settings.store, where, by))
    ordered = sorted(counted.items(), key=lambda item: (-item[1], str(item[0])))
    if as_json:
        # An array, as JSON has no key for null.
        output.write_json([{by: value, "count": number} for value, number in ordered])
        return
    width = max((len(f"{number:,}") for _, number in ordered), default=0)
    for value, number in ordered:
        output.write_line(f"{number:>{width},}  {output.plain(value)}")


async def _count(url: str, where: Node | None, cap: int | None) -> tuple[int, bool]:
    from tracker.query.api import open_query

    async with open_query(url) as query:
        if cap is None:
            return await query.count(where), True
        found = await query.count(where, cap=cap)
    return found.number, found.exact


async def _counts(url: str, where: Node | None, by: str) -> dict[str | int | None, int]:
    from tracker.query.api import open_query

    async with open_query(url) as query:
        return await query.count(where, by=by)


def why(task: options.Task, store: options.Store = None, as_json: options.AsJson = False) -> None:
    """Say for each field of a task which event set it, or by which rule it follows from several."""
    settings = Settings.load().with_flags(store=store)
    reasons = asyncio.run(_why(settings.store, task))
    if as_json:
        output.write_json({name: reason_json(reason) for name, reason in reasons.items()})
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("field", no_wrap=True)
    for name in ("value", "set by", "why"):
        table.add_column(name, overflow="fold")
    for name, reason in reasons.items():
        event = reason.event
        by = "-" if event is None else f"{event.source} {event.id}\n{event.time[:23]}Z, attempt {event.attempt}"
        if event is not None and event.sequence:
            by += f", sequence {event.sequence}"
        shown = "\n".join(map(output.visible, by.split("\n")))
        table.add_row(Text(output.visible(name)), Text(_short(output.plain(reason.value))), Text(shown), Text(reason.rule or ""))
    output.console().print(table)


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


def reason_json(reason: Any) -> dict[str, Any]:
    """One field's reason: its value, the event that set it (null where a rule speaks of several), the rule (null where it is one event)."""
    event = reason.event
    return {
        "value": reason.value,
        "event": None
        if event is None
        else {"source": event.source, "id": event.id, "time": event.time + "Z", "attempt": event.attempt, "sequence": event.sequence},
        "rule": reason.rule,
    }


async def _why(url: str, task: str) -> dict[str, Any]:
    from tracker.query.api import open_query

    async with open_query(url) as query:
        reasons = await query.why(task)
    if reasons is None:
        raise NotFound(f"there is no task {task} in {url} (none of its events was folded yet)")
    return dict(reasons)
