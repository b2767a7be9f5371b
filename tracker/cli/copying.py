"""``tracker copy``: a store into another database. ``tracker rehearse``: a captured log, folded the hard way."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import SystemRandom
from typing import Annotated

import typer

from tracker.cli import differing, options, output
from tracker.errors import UsageError
from tracker.settings import Settings

_SEED_BITS = 32


def copy(
    from_: Annotated[str, typer.Option("--from", metavar="URL", help="The store to read; workers may go on writing to it.")],
    to: Annotated[str, typer.Option("--to", metavar="URL", help="A new store, or an empty one.")],
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Copy a store, of one moment, into an empty one of any kind: states, positions, counters, parked records and jumps.

    A worker that is started on the copy goes on where the store was.
    """
    import msgspec

    from tracker.rebuild.copying import copy as copy_contents
    from tracker.stores.open import open_contents, open_store
    from tracker.stores.postgres_url import without_password

    if to.lower().startswith("memory:"):
        raise UsageError("a copy in memory would end with this command: name a store that is kept")
    with open_contents(from_) as contents, open_store(to, limits=contents.about().limits) as target:
        copied = copy_contents(contents, target)
    if as_json:
        output.write_json(msgspec.to_builtins(copied))
    elif not quiet:
        output.write_line(
            f"{copied.tasks:,} tasks, {copied.partitions} positions, {copied.parked:,} parked records and {copied.jumps} jumps "
            f"are in {without_password(to)}; look with: tracker diff {without_password(from_)} {without_password(to)}"
        )


def rehearse(
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="A captured log: files of JSON lines.")],
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="To repeat a rehearsal; printed.", show_default=False)] = None,
    kills: Annotated[int, typer.Option("--kills", metavar="N", help="Workers to kill.")] = 8,
    max_record_bytes: options.MaxRecordBytes = None,
    max_future: options.MaxFuture = None,
    as_json: options.AsJson = False,
) -> None:
    """Fold a log shuffled, with duplicates and delays, by workers that are killed, into a store that is thrown away.

    Exit code 3 if a task is not, byte for byte, what the log gives in order. Your store is not touched.
    """
    from tracker.rebuild.rehearsing import rehearse as rehearse_files

    settings = Settings.load().with_flags(max_record_bytes=max_record_bytes, max_future=max_future)
    if "-" in files:
        raise UsageError("a rehearsal reads its log twice, and standard input can be read only once: name files")
    if kills < 0:
        raise UsageError(f"--kills can't be {kills}: expected a whole number from 0")
    seed = SystemRandom().getrandbits(_SEED_BITS) if seed is None else seed
    if not as_json:
        output.note(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="tracker-rehearsal-") as folder:
        found = rehearse_files(files, Path(folder), seed, kills=kills, limits=options.limits_of(settings))
    if as_json:
        document = {"seed": seed, "records": found.records, "dealt": found.dealt, "shuffled": found.shuffled, "kills": found.kills}
        document |= {"tasks": found.tasks, "different": found.different}
        shown = [differing.pair_json(pair, found.limits, found.limits, why=True) for pair in found.pairs]
        output.write_json({**document, "differences": shown})
    else:
        for pair in found.pairs:
            differing.show(pair, found.limits, found.limits, why=True, names=("order", "the rehearsal"))
        output.write_line(
            f"{found.records:,} records as {found.dealt:,}, {'shuffled' if found.shuffled else 'some of them late'}, {found.kills} kills: "
            f"{found.tasks:,} tasks, {found.different:,} different"
        )
    if found.different:
        raise typer.Exit(differing.DIFFERENT)
