"""``tracker purge``, and the same beside a run: tasks that ended long ago leave the store."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker import telemetry
from tracker.cli import options, output
from tracker.errors import TrackerError, UsageError
from tracker.settings import TASK_TYPES, Settings
from tracker.telemetry import say

if TYPE_CHECKING:
    from tracker.model.kinds import TaskType
    from tracker.projector.retention import Purged
    from tracker.stores.base import StatusStore

EVERY_S = 600.0
"""Beside a run: tasks grow old slowly, and a look that finds none costs a query of an index."""
AFTER_S = 10.0
"""The first look: by then the store has been told where the logs end, and so whether it is behind them."""


def purge(
    store: options.Store = None,
    keep_completed: options.KeepCompleted = None,
    keep_completed_type: options.KeepCompletedType = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be purged.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Purge tasks that ended long ago: a small mark of each is kept, so that no late event opens it again. It can't be undone."""
    from tracker.projector import retention
    from tracker.stores.open import open_store

    settings = Settings.load().with_flags(store=store, keep_completed=keep_completed, keep_completed_type=keep_completed_type)
    ages_s = ages(settings)
    if not ages_s:
        raise UsageError("how long are tasks kept? give --keep-completed 90d, or --keep-completed-type QUARTZ=30d")
    now = datetime.now(UTC)
    with open_store(settings.store, create=False) as opened:
        due = retention.count_due(opened, ages_s, now)
        if dry_run:
            done = retention.Purged(retention.moment_known(opened.partitions(), now), due)
        else:
            with _bar(sum(due.values()), hidden=quiet) as on_progress:
                done = retention.purge(opened, ages_s, now, on_progress=on_progress)
        size = opened.size()
    if done.until < now:
        output.note(f"the store has more to read, so ages are measured from the newest event that it has: {done.until:%Y-%m-%d %H:%M:%S}Z")
    if as_json:
        output.write_json(
            {
                "purged": 0 if dry_run else done.total,
                "due": sum(due.values()),
                "byType": done.tasks,
                "until": done.until.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "freedBytes": done.freed_bytes,
                "storeBytes": None if size is None else size.bytes,
                "storeFreeBytes": None if size is None else size.free_bytes,
                "seconds": round(done.seconds, 3),
            }
        )
    elif not quiet:
        output.write_line(_sentence(done, dry_run=dry_run))


def ages(settings: Settings) -> Mapping[TaskType, float]:
    """How many seconds tasks of each type are kept; a type that is kept for ever is absent."""
    known = {name: settings.keep_completed_type.get(name, settings.keep_completed) for name in TASK_TYPES}
    return {name: age_s for name, age_s in known.items() if age_s is not None}


def _sentence(done: Purged, *, dry_run: bool) -> str:
    by_type = ", ".join(f"{number:,} {name}" for name, number in done.tasks.items() if number)
    what = "1 task" if done.total == 1 else f"{done.total:,} tasks"
    what += f" ({by_type})" if by_type else ""
    if dry_run:
        return f"{what} would be purged"
    was = "was" if done.total == 1 else "were"
    return f"{what} {was} purged in {output.span(done.seconds)}; {done.freed_bytes / 1e6:,.1f} MB given back"


@contextlib.contextmanager
def _bar(total: int, *, hidden: bool) -> Any:
    """A progress bar on standard error (on a terminal only)."""
    from rich.progress import Progress as Bars

    console = output.console(error=True)
    with Bars(*Bars.get_default_columns(), console=console, transient=True, disable=hidden or not console.is_terminal) as bars:
        task = bars.add_task("purging", total=total)
        yield lambda done: bars.update(task, completed=done.total)


@contextlib.asynccontextmanager
async def in_background(
    settings: Settings, store: StatusStore, *, after_s: float = AFTER_S, every_s: float = EVERY_S
) -> AsyncIterator[None]:
    """Purges now and then while inside, where that is asked for. It has a connection of its own: a writer among others."""
    ages_s = ages(settings)
    if not ages_s:
        yield
        return
    stop = threading.Event()

    def purge_again() -> None:
        wait_s = after_s
        while not stop.wait(wait_s):
            began = monotonic()
            _purge_once(settings.store, store, ages_s, stop)
            wait_s = max(0.0, every_s - (monotonic() - began))

    purging = asyncio.create_task(asyncio.to_thread(purge_again))
    try:
        yield
    finally:
        stop.set()
        await purging


def _purge_once(url: str, store: StatusStore, ages_s: Mapping[TaskType, float], stop: threading.Event) -> None:
    from tracker.projector import retention
    from tracker.stores.memory import MemoryStore
    from tracker.stores.open import open_store

    try:
        if isinstance(store, MemoryStore):
            done = retention.purge(store, ages_s, datetime.now(UTC), stop=stop)
        else:
            with open_store(url, create=False, hurry=stop) as opened:
                done = retention.purge(opened, ages_s, datetime.now(UTC), stop=stop)
    except TrackerError as error:  # the run goes on: it does not depend on this
        if not stop.is_set():
            say(telemetry.RETENTION_FAILED, error=error)
    else:
        if done.total:
            say(telemetry.RETENTION_PURGED, tasks=done.total, seconds=done.seconds)
