"""``tracker verify``, and the auditor beside ``tracker run``: tasks folded again from their log and compared with the store."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker import telemetry
from tracker.cli import differing, options, output, rebuilding
from tracker.errors import TrackerError, UsageError
from tracker.settings import Settings
from tracker.telemetry import say

if TYPE_CHECKING:
    from tracker.rebuild.verifying import Verified
    from tracker.web.meters import Meters

SAMPLE_TASKS = 1_000
"""Of one pass over the log: some 10 MB while it is read."""
BETWEEN_S = 10.0
"""From one pass to the next, so that a short log is not read over and over."""
END_WAIT_S = 2.0
"""Of the 5 seconds that a run has to stop."""


def verify(
    files: rebuilding.Files = None,
    source: options.Source = None,
    store: options.Store = None,
    sample: Annotated[
        str | None, typer.Option("--sample", "-n", metavar="N", help="Fold N tasks again. [default: all]", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Which tasks a sample has; printed.", show_default=False)] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", metavar="N", help="Processes; default: one a core.", show_default=False)
    ] = None,
    kafka_config: options.KafkaConfig = None,
    as_json: options.AsJson = False,
) -> None:
    """Fold tasks again from the log, up to where the store has read it, and compare their bytes. Exit code 3 if some differ."""
    from tracker.rebuild.verifying import verify_all, verify_some
    from tracker.settings import count
    from tracker.stores.open import open_contents

    settings = Settings.load().with_flags(source=source, store=store, kafka_config=kafka_config)
    logs = rebuilding.logs_of(settings, files)
    if sample is None:
        found = asyncio.run(verify_all(lambda: open_contents(settings.store), logs, jobs=jobs))
    else:
        seed = SystemRandom().getrandbits(32) if seed is None else seed
        found = asyncio.run(verify_some(lambda: open_contents(settings.store), logs, count(sample, "--sample"), Random(seed)))  # noqa: S311 - a sample
    _report(found, seed if sample is not None else None, as_json=as_json)
    if found.different:
        raise typer.Exit(differing.DIFFERENT)


def _report(found: Verified, seed: int | None, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {"tasks": found.tasks, "different": found.different, "covered": found.covered, "leftOut": found.left_out}
        document |= {"read": found.read, "whole": found.whole, "seed": seed}
        document["differences"] = [differing.pair_json(pair, found.limits, found.limits, why=True) for pair in found.pairs]
        output.write_json(document)
        return
    for pair in found.pairs:
        differing.show(pair, found.limits, found.limits, why=True, names=("the store", "the log"))
    of_seed = "" if seed is None else f" (seed {seed})"
    left_out = f", {found.left_out:,} purged left out" if found.left_out else ""
    output.write_line(f"{found.tasks:,} tasks folded again from {found.read:,} records{of_seed}{left_out}: {found.different:,} different")
    if not found.whole:
        output.write_line(
            f"the log has not all that the store has read: of {found.covered:,} tasks it has a part, and all of that is in the store"
        )


@contextlib.contextmanager
def audited(settings: Settings, meters: Meters | None) -> Iterator[None]:
    """The auditor in a thread and an event loop of its own, with a consumer in no group; it ends with the block."""
    from tracker.rebuild.following import Pace
    from tracker.rebuild.verifying import verify_some
    from tracker.stores.open import open_contents

    if settings.source == "-":
        raise UsageError("--audit reads the log again, and standard input can be read only once")
    with open_contents(settings.store):
        pass  # a store in memory is refused before anything is begun
    logs = rebuilding.logs_of(settings, None)
    random = SystemRandom()

    async def rounds() -> None:
        while True:
            try:
                found = await verify_some(
                    lambda: open_contents(settings.store), logs, SAMPLE_TASKS, random, pace=Pace(float(settings.audit or 1))
                )
            except TrackerError as error:
                say(telemetry.AUDIT_FAILED, error=error)
            else:
                _tell(found, meters)
            await asyncio.sleep(BETWEEN_S)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tracker-audit", daemon=True)
    thread.start()
    auditing = asyncio.run_coroutine_threadsafe(rounds(), loop)
    try:
        yield
    finally:
        auditing.cancel()
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_ended(), loop).result(timeout=END_WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=END_WAIT_S)
        if not thread.is_alive():
            loop.close()


async def _ended() -> None:
    """Whatever the loop still has has ended, and its threads too."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)
    await asyncio.get_running_loop().shutdown_default_executor()


def _tell(found: Verified, meters: Meters | None) -> None:
    if meters is not None:
        meters.on_audit(found.tasks, found.different)
    for pair in found.pairs:
        from tracker.rebuild.differences import fields

        say(telemetry.AUDIT_DIFFERENT, task=pair.id, field=fields(pair, found.limits, found.limits)[0].field)
    if not found.different:
        say(telemetry.AUDIT_PASSED, tasks=found.tasks, read=found.read)
