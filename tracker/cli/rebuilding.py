"""``tracker rebuild``: a new projection beside the live one, verified, and exchanged with it."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from tracker import telemetry
from tracker.cli import differing, options, output
from tracker.errors import NotFound, UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from tracker.rebuild.logs import Logs
    from tracker.rebuild.run import Outcome, Progress

DIFFERENT = 3

Files = Annotated[
    list[str] | None, typer.Argument(metavar="[FILES]...", help="Files that hold the log, or the part of it that the source has no more.")
]
Accept = Annotated[bool, typer.Option("--accept", help="Exchange although there are differences.")]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew: what an earlier rebuild has left is dropped.")]
ForgetPurged = Annotated[
    bool, typer.Option("--forget-purged", help="Let tasks that were purged come back as the log has them, for a longer retention.")
]
Throttle = Annotated[
    str | None,
    typer.Option("--throttle", metavar="N", help="Fold at most N events a second, in one process. [default: no limit]", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Fold a sample, say how long it would take and how much space; change nothing.")]
Rollback = Annotated[bool, typer.Option("--rollback", help="Take the last exchange back.")]
DiscardOld = Annotated[bool, typer.Option("--discard-old", help="Drop what --rollback would bring back.")]
Abandon = Annotated[bool, typer.Option("--abandon", help="Drop what a rebuild that did not end has left.")]


def rebuild(
    files: Files = None,
    source: options.Source = None,
    store: options.Store = None,
    accept: Accept = False,
    restart: Restart = False,
    forget_purged: ForgetPurged = False,
    throttle: Throttle = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", metavar="N", help="Processes; default: one a core.", show_default=False)
    ] = None,
    dry_run: DryRun = False,
    rollback: Rollback = False,
    discard_old: DiscardOld = False,
    abandon: Abandon = False,
    kafka_config: options.KafkaConfig = None,
    max_record_bytes: options.MaxRecordBytes = None,
    max_future: options.MaxFuture = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Fold the log again beside the live store, compare every task, and exchange the two while workers and readers go on.

    A rebuild that was stopped goes on where it was. Exit code 3: there are differences, and nobody has said --accept.
    """
    from tracker.rebuild.run import Order, Rebuild
    from tracker.settings import count
    from tracker.stores.open import open_shadow

    settings = Settings.load().with_flags(
        source=source, store=store, kafka_config=kafka_config, max_record_bytes=max_record_bytes, max_future=max_future
    )
    if sum([rollback, discard_old, abandon, dry_run]) > 1:
        raise UsageError("--rollback, --discard-old, --abandon and --dry-run are four commands: give one of them")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs can't be {jobs}: expected a whole number from 1")
    telemetry.configure("warning" if quiet else settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shadow = open_shadow(settings.store)
    if rollback or discard_old or abandon:
        _tell(_undone(shadow, rollback=rollback, discard_old=discard_old), as_json=as_json)
        return
    logs = logs_of(settings, files)
    order = Order(
        logs=logs,
        limits=options.limits_of(settings),
        accept=accept,
        restart=restart,
        forget_purged=forget_purged,
        records_per_s=float(count(throttle, "--throttle")) if throttle is not None else 0.0,
        jobs=jobs,
    )
    if dry_run:
        from tracker.rebuild.predicting import predict

        prediction = asyncio.run(predict(shadow, order))
        _tell(prediction.to_json() if as_json else prediction.sentence(), as_json=as_json)
        return
    with RebuildBar(hidden=quiet) as bar:
        outcome = asyncio.run(Rebuild(shadow, order, utc_now, on_progress=bar).run())
    _report(outcome, settings.store, as_json=as_json, quiet=quiet)


def utc_now() -> str:
    """RFC 3339, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def logs_of(settings: Settings, files: list[str] | None) -> Logs:
    """The files, and the source where it was named or there are no files."""
    from tracker.rebuild.logs import Logs

    source = settings.source if not files or "source" in settings.given else None
    return Logs(tuple(files or ()), source, settings.kafka_config, settings.max_record_bytes)


def _undone(shadow: Any, *, rollback: bool, discard_old: bool) -> str:
    from tracker.model.limits import DEFAULT_LIMITS
    from tracker.rebuild.run import Note, noted, to_text

    with shadow.alone():
        note = noted(shadow)
        if rollback:
            if note is not None and note.state == "swapped" and shadow.exists:
                shadow.keep_old()  # killed right after the exchange
            if not shadow.has_old:
                raise NotFound("there is no exchange to take back: the old content was dropped, or there was no rebuild")
            now = utc_now()
            note = note or Note(state="rolled-back", sources=[], limits=DEFAULT_LIMITS, began_at=now, noted_at=now)
            note.state, note.noted_at = "rolled-back", now
            shadow.roll_back(to_text(note))
            shadow.discard_old()
            return "the exchange was taken back; workers read again what came since"
        if discard_old:
            if not shadow.has_old:
                raise NotFound("there is no old content to drop")
            shadow.discard_old()
            return "the old content was dropped; the exchange can't be taken back any more"
        if not shadow.exists:
            raise NotFound("there is no rebuild under way")
        if note is not None and note.state == "swapped":
            raise UsageError("the exchange is made: take it back with --rollback, or drop the old content with --discard-old")
        shadow.discard()
        shadow.remember(None)
        return "the rebuild was dropped; the live store is as it was"


def _tell(said: Any, *, as_json: bool) -> None:
    if as_json:
        output.write_json({"done": said} if isinstance(said, str) else said)
    else:
        output.write_line(said)


def _report(outcome: Outcome, url: str, *, as_json: bool, quiet: bool) -> None:
    import msgspec

    from tracker.stores.postgres_url import without_password

    note = outcome.note
    swapped = note.state == "swapped"
    if as_json:
        output.write_json(
            {
                "state": note.state,
                "tasks": note.tasks,
                "different": note.different,
                "purged": note.purged,
                "leftOut": note.left_out,
                "read": note.read,
                "hash": note.hash,
                "lockSeconds": note.lock_seconds,
                "seconds": round(outcome.seconds, 3),
                "counters": msgspec.to_builtins(outcome.counters),
                "liveCounters": msgspec.to_builtins(outcome.live_counters),
                "differences": [differing.pair_json(pair, note.limits, note.limits, why=True) for pair in outcome.pairs],
            }
        )
    elif not quiet:
        for pair in outcome.pairs:
            differing.show(pair, note.limits, note.limits, why=False, names=("live", "rebuilt"))
        purged = f", {note.purged:,} purged {'one' if note.purged == 1 else 'ones'} kept" if note.purged else ""
        purged += f", {note.left_out:,} purged left out" if note.left_out else ""
        output.write_line(
            f"{note.tasks:,} tasks compared{purged}, {note.different:,} different; {note.read:,} records folded in {outcome.seconds:.1f} s"
        )
        if swapped:
            output.write_line(
                f"{without_password(url)} has the new content (writers waited {note.lock_seconds:.2f} s); the old one is kept: "
                "tracker rebuild --rollback brings it back, --discard-old drops it"
            )
    if not swapped:
        output.note(
            "tracker: nothing was exchanged, as there are differences: see them all with 'tracker diff live shadow --why', "
            "then go on with --accept, or drop the rebuild with --abandon"
        )
        raise typer.Exit(DIFFERENT)


class RebuildBar:
    """A progress bar on standard error (on a terminal only): the state, how much of it is done, events a second and the time that is left."""

    def __init__(self, *, hidden: bool) -> None:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        console = output.console(error=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self._bars = Bars(*columns, console=console, transient=True, disable=hidden or not console.is_terminal)
        self._task = self._bars.add_task("building", total=None, rate="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def __call__(self, progress: Progress) -> None:
        """Draw it anew."""
        rate = f"{progress.read / progress.seconds:,.0f} events/s" if progress.read and progress.seconds else ""
        self._bars.update(self._task, description=progress.state, completed=progress.done, total=progress.total or None, rate=rate)
