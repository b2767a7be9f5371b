"""``tracker watch``: what changes, as it changes."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.cli import options, output
from tracker.cli.simulating import on_signals
from tracker.errors import UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from tracker.query.api import Change, TaskQuery

POLL_S = 0.25


def watch(
    store: options.Store = None,
    filter_: options.Filter = None,
    since: Annotated[
        int | None,
        typer.Option(
            "--since", metavar="REVISION", help="First what changed after this revision; default: from now on.", show_default=False
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="Stop after so many changes.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help='JSON Lines: {"id","revision","deleted","status"}.')] = False,
) -> None:
    """Print each task that changes, as it is then. Stop with Ctrl-C."""
    if limit is not None and limit < 1:
        raise UsageError(f"--limit can't be {limit}: expected a whole number from 1")
    if since is not None and since < 0:
        raise UsageError(f"--since can't be {since}: expected a revision, 0 for all")
    settings = Settings.load().with_flags(store=store)
    asyncio.run(_watch(settings.store, filter_, since, limit, as_json=as_json))


async def _watch(url: str, filter_: str | None, since: int | None, limit: int | None, *, as_json: bool) -> None:
    from tracker.query.api import open_query

    stop = asyncio.Event()
    printer = _print_json if as_json else _Printer().print
    async with open_query(url) as query:
        revision = await query.revision() if since is None else since
        left = limit
        with on_signals(stop):
            if not as_json:
                output.note(f"watching {url} from revision {revision}; stop with Ctrl-C")
            while not stop.is_set():
                changes = await _changes(query, revision, filter_)
                for change in changes:
                    printer(change)
                    if left is not None and (left := left - 1) == 0:
                        return
                revision = max([revision, *(change.revision for change in changes)])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), POLL_S)


async def _changes(query: TaskQuery, revision: int, filter_: str | None) -> list[Change]:
    """What changed after the revision. All of it is seen before the next revision is taken, so nothing is missed."""
    async with aclosing(query.changes_since(revision, filter_)) as changes:
        return [change async for change in changes]


def _print_json(change: Change) -> None:
    output.write_json({"id": change.id, "revision": change.revision, "deleted": change.document is None, "status": change.document})


class _Printer:
    """One line a change, and no more of a task than what is new."""

    def __init__(self) -> None:
        self._console = output.console()

    def print(self, change: Change) -> None:
        from rich.text import Text

        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        if change.document is None:
            self._console.print(
                Text(f"{clock}  {output.visible(change.id)}  deleted", style="bright_black"), overflow="ellipsis", no_wrap=True
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
