"""``tracker index``: attributes that filters find by an index; and what keeps it up beside a run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from tracker import telemetry
from tracker.cli import options, output
from tracker.cli.targets import progress_bar
from tracker.errors import TrackerError, UsageError
from tracker.settings import Settings
from tracker.telemetry import say

if TYPE_CHECKING:
    from tracker.model.records import Place
    from tracker.query.blocking import BlockingQuery
    from tracker.stores.attribute_index import AttributeIndex
    from tracker.stores.base import StatusStore

FIRST_S, EVERY_S, NONE_S = 2.0, 0.5, 10.0
"""Beside a run: before the first look, between two where there are indexes, and where there are none."""
MAX_INDEXES = 32
"""Each is a row more of every task that has the attribute."""
MOST_TOLD = 10_000_000
"""How many tasks an index is behind is counted no further."""


def index(
    attributes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ATTRIBUTE", help="As filters write them after attributes., such as region or owner.name.", show_default=False
        ),
    ] = None,
    store: options.Store = None,
    drop: Annotated[bool, typer.Option("--drop", help="Take their indexes away.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Let filters find attributes (eq, in) by an index, which every worker keeps up from now on; without a name, list the indexes.

    What a filter finds does not depend on it, only how long that takes. Workers go on meanwhile.
    """
    from tracker.query import connect
    from tracker.query.attributes import attribute, name
    from tracker.query.indexing import behind
    from tracker.stores.attribute_index import attribute_index
    from tracker.stores.open import open_store

    names = sorted({name(attribute(each)) for each in attributes or []})
    if drop and not names:
        raise UsageError("which indexes are to go? name their attributes; tracker index lists them")
    settings = Settings.load().with_flags(store=store)
    with open_store(settings.store, create=False) as opened, connect(settings.store) as tasks:
        indexes = attribute_index(opened)
        if indexes is None:
            raise UsageError("a store in memory has no indexes: name one that is kept, such as sqlite:///status.db")
        if drop:
            if missing := [each for each in names if each not in _places(tasks)]:
                raise UsageError(f"{', '.join(missing)}: there is no such index; tracker index lists them")
            indexes.drop(names)
        elif names:
            if len({*names, *_places(tasks)}) > MAX_INDEXES:
                raise UsageError(f"a store has at most {MAX_INDEXES} indexes of attributes: drop some first")
            indexes.ask(names)
            _make(tasks, indexes, shown=not quiet and output.console(error=True).is_terminal)
        found = {each: tasks.ask(behind({each: place}, MOST_TOLD)) for each, place in _places(tasks).items()}
    if as_json:
        output.write_json({"indexes": [{"attribute": each, "behind": number} for each, number in found.items()]})
    elif not quiet:
        for each, number in found.items():
            output.write_line(
                f"attributes.{each}" + (f"  ({'1 task has' if number == 1 else f'{number:,} tasks have'} changed since)" if number else "")
            )
        if not found:
            output.write_line("no attribute has an index; tracker index ATTRIBUTE makes one")


def _places(tasks: BlockingQuery) -> Mapping[str, Place]:
    return tasks.ask(lambda snapshot: snapshot.indexed)


def _make(tasks: BlockingQuery, indexes: AttributeIndex, *, shown: bool) -> None:
    """Bring all indexes up, with a progress bar where it is to be ``shown``."""
    from tracker.query.indexing import behind, catch_up

    done = 0
    with progress_bar(tasks.ask(behind(_places(tasks), MOST_TOLD)) if shown else None, "index") as advance:

        def on_page(count: int) -> None:
            nonlocal done
            done += count
            advance(done)

        while not catch_up(tasks, indexes, on_page=on_page):
            pass  # a worker has written a page of the same: go on behind it


@contextlib.asynccontextmanager
async def in_background(url: str, store: StatusStore, *, first_s: float = FIRST_S) -> AsyncIterator[None]:
    """The indexes follow the store's changes while inside, on connections of their own."""
    from tracker.stores.memory import MemoryStore

    if isinstance(store, MemoryStore):
        yield
        return
    stop = threading.Event()
    following = asyncio.create_task(asyncio.to_thread(_follow, url, stop, first_s))
    try:
        yield
    finally:
        stop.set()
        await following


def _follow(url: str, stop: threading.Event, wait_s: float) -> None:
    seen = set[str]()
    while not stop.wait(wait_s):
        wait_s = NONE_S
        try:
            _keep_up(url, stop, seen)
        except TrackerError as error:  # the run goes on: no answer depends on this
            if seen and not stop.is_set():
                say(telemetry.INDEX_FAILED, error=error)


def _keep_up(url: str, stop: threading.Event, seen: set[str]) -> None:
    """Until there is no index, or it is to stop; those that were seen are added to ``seen``."""
    from tracker.query.blocking import BlockingQuery
    from tracker.query.indexing import catch_up
    from tracker.query.opening import reader_at
    from tracker.stores.attribute_index import attribute_index
    from tracker.stores.open import open_store

    with BlockingQuery(reader_at(url, stop)(), stop) as tasks:
        if not _places(tasks):
            return
        with open_store(url, create=False, hurry=stop) as opened:
            indexes = attribute_index(opened)
            assert indexes is not None
            while (places := _places(tasks)) and not stop.is_set():
                seen.update(places)
                catch_up(tasks, indexes, stop=stop)
                stop.wait(EVERY_S)
