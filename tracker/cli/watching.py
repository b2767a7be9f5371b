"""``tracker watch``: what changes, as it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.cli import options, output
from tracker.cli.stopping import on_signals
from tracker.errors import UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from tracker.query import Change
    from tracker.query.filters import Node

MAX_SHOWN = 50_000
"""Ids kept to tell what leaves the filter; beyond that every change outside it is told."""


def watch(
    store: options.Store = None,
    filter_: options.Filter = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TOKEN",
            help="First what changed after this token of an earlier line (0: all there is); default: from now on.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="Stop after so many changes.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help='JSON Lines: {"id","kind","token","status"}.')] = False,
) -> None:
    """Print each task that changes, as it is then, and those that leave the filter. Stop with Ctrl-C."""
    if limit is not None and limit < 1:
        raise UsageError(f"--limit can't be {limit}: expected a whole number from 1")
    settings, where = Settings.load().with_flags(store=store), options.where(filter_)
    asyncio.run(_watch(settings.store, where, since, limit, as_json=as_json))


async def _watch(url: str, where: Node | None, since: str | None, limit: int | None, *, as_json: bool) -> None:
    from tracker.query import open_query

    stop = asyncio.Event()
    printer = _print_json if as_json else _Printer().print
    async with open_query(url) as query:
        start = await query.token() if since is None else since
        with on_signals(lambda _: stop.set()):
            if not as_json:
                output.note(f"watching {url} from {start}; stop with Ctrl-C")
            async with aclosing(query.changes(start, where, follow=True)) as changes:
                printing = asyncio.create_task(_print(changes, printer, limit, all_left=since not in (None, "0")))
                stopping = asyncio.create_task(stop.wait())
                await asyncio.wait({printing, stopping}, return_when=asyncio.FIRST_COMPLETED)
                for task in (printing, stopping):
                    task.cancel()
                await asyncio.gather(stopping, return_exceptions=True)
                with contextlib.suppress(asyncio.CancelledError):
                    await printing


async def _print(changes: AsyncIterator[Change], printer: Callable[[Change], None], limit: int | None, *, all_left: bool) -> None:
    """``all_left``: what left the filter is told even of tasks that were not shown, as an earlier run may have shown them."""
    shown: set[str] = set()
    left = limit
    async for change in changes:
        if change.kind == "changed":
            shown.add(change.id)
            all_left = all_left or len(shown) > MAX_SHOWN
        elif change.kind == "left" and not all_left and change.id not in shown:
            continue
        else:
            shown.discard(change.id)
        printer(change)
        if left is not None and (left := left - 1) == 0:
            return


def _print_json(change: Change) -> None:
    output.write_json({"id": change.id, "kind": change.kind, "token": change.token, "status": change.document})


class _Printer:
    """One line a change, and no more of a task than what is new."""

    def __init__(self) -> None:
        self._console = output.console()

    def print(self, change: Change) -> None:
        from rich.text import Text

        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        if change.document is None:
            self._console.print(
                Text(f"{clock}  {output.visible(change.id)}  {change.kind}", style="bright_black"), overflow="ellipsis", no_wrap=True
            )
            return
        self._console.print(self._line(clock, change.document), overflow="ellipsis", no_wrap=True)

    def _line(self, clock: str, document: dict[str, Any]) -> Text:
        from rich.text import Text

        state = output.state_of(document)
        text = Text(f"{clock}  ")
        text.append(output.visible(document["id"])).append("  ")
        text.append_text(output.styled(state)).append("  ")
        text.append_text(output.styled(document["completionStatus"])).append("  ")
        text.append_text(output.bar(document["percentComplete"], state)).append("  ")
        text.append(output.visible(document["uniqueName"]))
        if document["progress"]:
            text.append(f"  {output.visible(document['progress'])}", style="bright_black")
        return text
