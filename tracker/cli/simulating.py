"""``tracker simulate``: made-up tasks written to a log, at a rate, for ever or until there are enough."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli import options, output
from tracker.cli.stopping import on_signals
from tracker.errors import EmitError, UsageError
from tracker.settings import Settings

if TYPE_CHECKING:
    from tracker.emit.base import Emitter
    from tracker.testing.simulate import Simulation

TICK_S = 0.1
"""Events are written so often at most: a write to a file is synced, and a disk does some hundred of those a second."""
RETRY_S = 2.0
HISTORY_EVENTS = 2_000
LIVE_RATE = 8.0
"""Events a second of the stream that ``run --simulate-if-missing`` starts: something moves, and can still be followed by eye."""


def simulate(
    source: options.Source = None,
    kafka_config: options.KafkaConfig = None,
    rate: Annotated[float, typer.Option("--rate", metavar="N", help="Events a second; 0: as fast as they can be written.")] = 20.0,
    tasks: Annotated[
        int | None, typer.Option("--tasks", metavar="N", help="Stop when so many tasks have ended; default: never.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="The same seed makes the same tasks; default: a new one.", show_default=False)
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Write made-up events to the log: tasks that get on, fail, are retried, and end; some of them late, doubled or out of order."""
    if rate < 0:
        raise UsageError(f"--rate can't be {rate:g}: expected events a second, or 0 for as fast as they can be written")
    if tasks is not None and tasks < 1:
        raise UsageError(f"--tasks can't be {tasks}: expected a whole number from 1")
    settings = Settings.load().with_flags(source=source, kafka_config=kafka_config)
    seed = SystemRandom().getrandbits(32) if seed is None else seed
    written = asyncio.run(_simulate(settings, rate, tasks, seed, quiet=quiet))
    if not quiet:
        output.note(f"{written} events written")


async def _simulate(settings: Settings, rate: float, tasks: int | None, seed: int, *, quiet: bool) -> int:
    from tracker.emit.open import open_emitter
    from tracker.testing.simulate import Simulation

    stop = asyncio.Event()
    simulation = Simulation(seed, tasks=tasks, concurrency=12 if rate < 200 else 200)
    if not quiet:
        output.note(f"writing to {settings.source}, seed {seed}; stop with Ctrl-C")
    written, said = 0, False
    with on_signals(lambda _: stop.set()):
        while not (stop.is_set() or simulation.has_ended()):
            try:
                async with open_emitter(settings.source, kafka_config=settings.kafka_config) as emitter:
                    said = False
                    async for count in stream(emitter, simulation, rate, stop):
                        written += count
            except EmitError as error:
                if tasks is not None:  # somebody waits for it
                    raise
                if not said:
                    output.note(f"{error}; trying again")
                said = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), RETRY_S)
    return written


async def stream(emitter: Emitter, simulation: Simulation, rate: float, stop: asyncio.Event) -> AsyncIterator[int]:
    """Write what the simulation does, about ``rate`` events a second, until it ends or ``stop`` is set. Gives how many were written at a time."""
    loop = asyncio.get_running_loop()
    begun, steps = loop.time(), 0
    while not (stop.is_set() or simulation.has_ended()):
        due = int((loop.time() - begun) * rate) - steps if rate else 500
        events = []
        for _ in range(max(0, min(due, 500))):
            events += simulation.step(datetime.now(UTC))
            steps += 1
            if simulation.has_ended():
                break
        if events:
            await emitter.emit(events)
            yield len(events)
        if due > 500:  # a slow log is not made up for later
            begun, steps = loop.time(), 0
        if rate:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(TICK_S, 1 / rate if rate < 10 else 0))


def can_be_simulated(source: str) -> bool:
    """Whether the source is one plain file that is missing."""
    from tracker.sources.files import is_compressed
    from tracker.sources.open import is_kafka

    plain = not is_kafka(source) and source != "-" and not is_compressed(source) and not any(character in source for character in "*?[")
    return plain and not Path(source).exists()


async def write_history(source: str, seed: int) -> int:
    """Write the finished tasks that a new log begins with, and say how many events they are."""
    from tracker.emit.jsonl import JsonlEmitter
    from tracker.testing.simulate import history

    events = history(seed, HISTORY_EVENTS, datetime.now(UTC))
    async with JsonlEmitter(source) as emitter:
        await emitter.emit(events)
    return len(events)
