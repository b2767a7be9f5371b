"""``tracker replay``: whole files, as fast as they can be folded."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from tracker import telemetry
from tracker.cli import options, output
from tracker.errors import UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from tracker.replay import ReplayProgress, ReplayTotals


def replay(
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Files of JSON lines (plain, .gz, .zst), patterns, or -.")],
    store: options.Store = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", metavar="N", help="Processes; default: one a core.", show_default=False)
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Read files from the start that the store has read: counters change, statuses can't.")
    ] = False,
    max_parked_ratio: options.MaxParkedRatio = None,
    max_record_bytes: options.MaxRecordBytes = None,
    max_future: options.MaxFuture = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Fold files into a store, in parallel where it can be done. A file that the store has read goes on where it ended."""
    from tracker.replay import replay as replay_files

    settings = Settings.load().with_flags(
        store=store, max_parked_ratio=max_parked_ratio, max_record_bytes=max_record_bytes, max_future=max_future
    )
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs can't be {jobs}: expected a whole number from 1")
    telemetry.configure("warning" if quiet else settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is in memory is dropped whole
    with ReplayBar(hidden=quiet) as bar:
        totals = replay_files(
            files,
            settings.store,
            limits=options.limits_of(settings),
            jobs=jobs,
            again=again,
            max_parked_ratio=settings.max_parked_ratio,
            on_progress=bar,
        )
    if not quiet:
        for path, next_offset in sorted(totals.resumed.items()):
            if path == "-":  # another stream each time: it is read from its beginning
                continue
            output.note(f"{path}: the store has it up to byte {next_offset}, went on there (--again reads it from the start)")
    if as_json:
        output.write_json(_document(totals))
    elif not quiet:
        output.write_line(conservation(totals))


def _document(totals: ReplayTotals) -> dict[str, Any]:
    counters = totals.counters
    return {
        "read": counters.read,
        "applied": counters.applied,
        "unchanged": counters.unchanged,
        "ignored": counters.ignored,
        "parked": counters.parked,
        "tasks": totals.tasks,
        "seconds": round(totals.seconds, 3),
    }


def conservation(totals: ReplayTotals) -> str:
    """The sum that always adds up, and how long it took."""
    counters = totals.counters
    rate = counters.read / totals.seconds if totals.seconds > 0 else 0.0
    return (
        f"{counters.read:,} read = {counters.applied:,} applied + {counters.unchanged:,} unchanged + {counters.ignored:,} ignored + "
        f"{counters.parked:,} parked; {totals.tasks:,} tasks in the store; {totals.seconds:.1f} s, {rate:,.0f} events/s"
        + ("" if counters.balanced else "  THESE DO NOT ADD UP")
    )


class ReplayBar:
    """A progress bar on standard error (on a terminal only): share of the bytes, events a second, and the time that is left."""

    def __init__(self, *, hidden: bool) -> None:
        from rich.progress import BarColumn, DownloadColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Bars

        console = output.console(error=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=hidden or not console.is_terminal,
        )
        self._task = self._bars.add_task("folding", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def __call__(self, progress: ReplayProgress) -> None:
        """Draw it anew."""
        self._bars.update(self._task, description=progress.step, completed=progress.bytes_read, total=progress.bytes_total)
