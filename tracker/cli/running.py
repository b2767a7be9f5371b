"""``tracker run``: the live tracker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from random import SystemRandom
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker import telemetry
from tracker.cli import indexing, options, output, purging, simulating, stopping
from tracker.cli.progress import Reporter
from tracker.errors import TrackerError
from tracker.settings import Settings
from tracker.telemetry import say

DASHBOARD = "127.0.0.1:8080"

if TYPE_CHECKING:
    from tracker.projector import Progress, Projector, Totals
    from tracker.sources.base import OnRevoked, Source
    from tracker.stores.base import StatusStore
    from tracker.web.context import Writable
    from tracker.web.meters import Meters


def run(
    source: options.Source = None,
    store: options.Store = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-F", help="Keep reading a file as it grows, as tail -F does; a topic always is.")
    ] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at the ends that the logs have at the start.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Show the tasks live; without a terminal, log lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="At the end, write the totals as one JSON document on standard output.")] = False,
    simulate_if_missing: Annotated[
        bool, typer.Option("--simulate-if-missing", help="Where the file is missing, make it and go on writing made-up events to it.")
    ] = False,
    serve: Annotated[
        str | None,
        typer.Option("--serve", metavar="HOST:PORT", help="Answer HTTP there, too, as tracker serve does.", show_default=False),
    ] = None,
    audit: Annotated[
        str | None,
        typer.Option(
            "--audit",
            metavar="N",
            help="Beside, read the log again at N records a second, fold some tasks anew and compare them with the store.",
            show_default=False,
        ),
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help=f"Answer at {DASHBOARD}, or the next free port, unless --serve says where; say the address.")
    ] = False,
    access: options.Access = None,
    root_path: options.RootPath = None,
    host_name: options.HostName = None,
    forwarded_from: options.ForwardedFrom = None,
    rate: options.Rate = None,
    kafka_config: options.KafkaConfig = None,
    instance: options.Instance = None,
    exit_when_stuck: options.ExitWhenStuck = None,
    on_lost_offset: options.OnLostOffset = None,
    max_batch_records: options.MaxBatchRecords = None,
    max_batch_age: options.MaxBatchAge = None,
    max_parked_ratio: options.MaxParkedRatio = None,
    max_record_bytes: options.MaxRecordBytes = None,
    max_future: options.MaxFuture = None,
    keep_completed: options.KeepCompleted = None,
    keep_completed_type: options.KeepCompletedType = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
) -> None:
    """Follow a log into a store, live. Stop with Ctrl-C: the next run goes on where this one stopped."""
    settings = Settings.load().with_flags(
        source=source,
        store=store,
        serve=serve,
        access=access,
        root_path=root_path,
        host_name=host_name,
        forwarded_from=forwarded_from,
        rate=rate,
        kafka_config=kafka_config,
        instance=instance,
        exit_when_stuck=exit_when_stuck,
        on_lost_offset=on_lost_offset,
        audit=audit,
        max_batch_records=max_batch_records,
        max_batch_age=max_batch_age,
        max_parked_ratio=max_parked_ratio,
        max_record_bytes=max_record_bytes,
        max_future=max_future,
        keep_completed=keep_completed,
        keep_completed_type=keep_completed_type,
        log_level=log_level,
        log_format=log_format,
    )
    shown_live = live and output.is_terminal() and not as_json
    # In the live view only what needs somebody is said, above it.
    telemetry.configure("warning" if shown_live and settings.log_level == "info" else settings.log_level, settings.log_format)
    totals = stopping.run(
        _run(settings, follow=follow, until_end=until_end, live=shown_live, simulated=simulate_if_missing, dashboard=dashboard)
    )
    if as_json:
        output.write_json(totals)


def demo() -> None:
    """Show what a live tracker and its dashboard look like: made-up tasks in a temporary place. Ctrl-C ends it and leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="tracker-demo-") as folder:
        settings = Settings.load().with_flags(source=f"{folder}/events.jsonl", store=f"sqlite:///{folder}/status.db")
        live = output.is_terminal()
        telemetry.configure("warning" if live else settings.log_level, settings.log_format)
        stopping.run(_run(settings, follow=True, until_end=False, live=live, simulated=True, dashboard=True))


async def _run(settings: Settings, *, follow: bool, until_end: bool, live: bool, simulated: bool, dashboard: bool) -> dict[str, Any]:
    from tracker.projector import Options, Projector
    from tracker.sources.open import open_source
    from tracker.stores.open import open_store

    def make_source(on_revoked: OnRevoked) -> Source:
        return open_source(
            settings.source,
            follow=follow and not until_end,
            on_revoked=on_revoked,
            kafka_config=settings.kafka_config,
            instance=settings.instance,
            max_record_bytes=settings.max_record_bytes,
        )

    projector_options = Options(
        max_batch_records=settings.max_batch_records,
        max_batch_age_s=settings.max_batch_age,
        max_parked_ratio=settings.max_parked_ratio,
        on_lost_offset=settings.on_lost_offset,  # type: ignore[arg-type]  # one of the three words: the settings have checked it
        until_end=until_end,
        exit_when_stuck_s=settings.exit_when_stuck,
    )
    with open_store(settings.store, limits=options.limits_of(settings)) as store:
        async with contextlib.AsyncExitStack() as stack:
            simulation = ""
            if simulated and simulating.can_be_simulated(settings.source):
                simulation = await stack.enter_async_context(_simulation(settings.source, goes_on=follow and not until_end))
            progress = Reporter()
            listeners: list[Callable[[Progress], None]] = [progress]

            def on_progress(made: Progress) -> None:
                for listener in listeners:
                    listener(made)

            projector = Projector(
                make_source,
                store,
                options=projector_options,
                on_progress=on_progress,
                on_stuck=stopping.exit_soon,
                worker=settings.instance or f"{socket.gethostname()}:{os.getpid()}",
            )

            def stop(number: signal.Signals) -> None:
                say(telemetry.RUN_STOPPING, signal=number.name)
                projector.stop()

            say(telemetry.RUN_STARTED, source=telemetry.masked(settings.source), store=telemetry.masked(settings.store))
            with stopping.on_signals(stop):
                meters, url = await stack.enter_async_context(_served(settings, store, projector, listeners, dashboard=dashboard))
                await stack.enter_async_context(purging.in_background(settings, store))
                await stack.enter_async_context(indexing.in_background(settings.store, store))
                if settings.audit is not None:
                    from tracker.cli.auditing import audited

                    stack.enter_context(audited(settings, meters))
                totals = await _shown(projector, progress, settings, store, live=live, simulation=simulation, url=url)
        read = totals.counters.read
        say(telemetry.RUN_STOPPED, read=read, seconds=totals.seconds)
        return totals_document(totals, store)


def totals_document(totals: Totals, store: StatusStore) -> dict[str, Any]:
    """The shape that ``run --until-end --json`` and ``replay --json`` end with."""
    counters = totals.counters
    return {
        "read": counters.read,
        "applied": counters.applied,
        "unchanged": counters.unchanged,
        "ignored": counters.ignored,
        "parked": counters.parked,
        "tasks": store.task_count(),
        "seconds": round(totals.seconds, 3),
    }


async def _shown(
    projector: Projector, progress: Reporter, settings: Settings, store: StatusStore, *, live: bool, simulation: str, url: str | None
) -> Totals:
    if not live:
        return await projector.run()
    from tracker.cli.live import LiveView

    progress.logs = False
    running = asyncio.ensure_future(projector.run())
    view = LiveView(settings.source, settings.store, store, progress, simulation, url)
    try:
        await view.show(until=running)
    finally:
        if not running.done():
            projector.stop()
    return await running


@contextlib.asynccontextmanager
async def _served(
    settings: Settings, store: StatusStore, projector: Projector, listeners: list[Callable[[Progress], None]], *, dashboard: bool
) -> AsyncIterator[tuple[Meters | None, str | None]]:
    """HTTP beside the projector, where that is asked for: its meters and URL. Should the server end by itself, the run ends too, and says why.

    ``dashboard``: at its usual address, or near it; what can't be is said, and the run goes on without.
    """
    if settings.serve is None and not dashboard:
        yield None, None
        return
    from tracker.cli.serving import prepared, web_meters
    from tracker.query.api import TaskQuery, open_query
    from tracker.stores.memory import MemoryStore
    from tracker.stores.open import open_store

    writable: Writable
    if isinstance(store, MemoryStore):
        query, writable = TaskQuery.over(store), lambda: contextlib.nullcontext(store)
    else:
        query, writable = open_query(settings.store), lambda: open_store(settings.store, create=False)
    try:
        meters = web_meters()
        address, or_near = settings.serve or DASHBOARD, settings.serve is None
        serving = prepared(settings, address, query, writable, settings.source, meters, or_near=or_near)
    except TrackerError as error:
        if settings.serve is not None:
            raise
        output.note(f"no dashboard: {error}")
        yield None, None
        return
    if or_near and not serving.url.startswith(f"http://{DASHBOARD}"):
        output.note(f"{DASHBOARD} is taken by another program: the dashboard is at {serving.url}")
    listeners.append(meters.on_progress)
    meters.watch(lambda: projector.trouble)
    stop = asyncio.Event()
    task = asyncio.create_task(serving.answer(stop))
    task.add_done_callback(lambda _: projector.stop())
    try:
        yield meters, serving.url
    finally:
        stop.set()
        await task


@contextlib.asynccontextmanager
async def _simulation(path: str, *, goes_on: bool) -> AsyncIterator[str]:
    """Makes the missing log, and goes on writing to it while inside. Gives what to say of it."""
    from tracker.emit.jsonl import JsonlEmitter
    from tracker.testing.simulate import Simulation

    seed = SystemRandom().getrandbits(32)
    events = await simulating.write_history(path, seed)
    rate = simulating.LIVE_RATE if goes_on else 0.0
    say(telemetry.SIMULATION_STARTED, path=path, events=events, rate=rate)
    if not goes_on:
        yield f"{path} was missing: {events:,} made-up events were written to it"
        return
    stop = asyncio.Event()

    async def write() -> None:
        async with JsonlEmitter(path) as emitter:
            async for _ in simulating.stream(emitter, Simulation(seed + 1), rate, stop):
                pass

    writing = asyncio.create_task(write())
    try:
        yield f"{path} was missing: {events:,} made-up events were written to it, and {rate:g} more come every second"
    finally:
        stop.set()
        await writing
