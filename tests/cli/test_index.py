"""`tracker index`, and that a run keeps the indexes up."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.query_store import commit
from tests.unit.query_store import event as decoded_event
from tracker.cli import indexing
from tracker.query import connect
from tracker.query.indexing import behind
from tracker.stores.memory import MemoryStore
from tracker.stores.open import open_store


@pytest.mark.usefixtures("filled")
def test_attributes_are_indexed_listed_and_dropped(cli) -> None:
    """Each time the indexes that there are now are listed."""
    assert cli("index").out == "no attribute has an index; tracker index ATTRIBUTE makes one\n"
    assert cli("index", "b", "owner.name").out == "attributes.b\nattributes.owner.name\n"
    assert cli("index", "b", "--json").json == {"indexes": [{"attribute": "b", "behind": 0}, {"attribute": "owner.name", "behind": 0}]}
    assert cli("count", "--filter", "attributes.b eq 1e16").out == "1\n"
    assert cli("index", "b", "--drop").out == "attributes.owner.name\n"


@pytest.mark.usefixtures("filled")
def test_an_index_that_is_behind_says_so(cli, write_log, event) -> None:
    """What has changed since is found all the same."""
    cli("index", "b")
    write_log(event("progressed", "t2", 10, attributes={"b": 7}))
    cli("replay", "events.jsonl", "--quiet")
    assert cli("index").out == "attributes.b  (1 task has changed since)\n"
    assert cli("count", "--filter", "attributes.b eq 7").out == "1\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--drop"], "which indexes are to go? name their attributes"),
        (["b", "--drop"], "b: there is no such index; tracker index lists them"),
        (["a b"], "expected an attribute as filters write it"),
        ([f"k{at}" for at in range(33)], "a store has at most 32 indexes of attributes"),
        (["b", "--store", "memory://"], "memory"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_wrong_usage_is_one_clear_sentence(cli, arguments: list[str], message: str) -> None:
    """Exit code 2, nothing on standard output, and no index."""
    result = cli("index", *arguments)

    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert cli("index", "--json").json == {"indexes": []}


def test_a_store_that_is_not_there_is_not_made(cli, folder: Path) -> None:
    """To index nothing is a mistake in the name."""
    assert cli("index", "b").code == 1
    assert not folder.joinpath("status.db").exists()


@pytest.mark.usefixtures("filled")
async def test_a_run_keeps_the_indexes_up(cli, folder: Path) -> None:
    """What is committed beside it is soon in them, also of an attribute that is asked for meanwhile."""
    url = f"sqlite:///{folder}/status.db"
    cli("index", "b")
    with open_store(url) as store, connect(url) as tasks:

        def done(names: set[str]) -> bool:
            places = tasks.ask(lambda snapshot: snapshot.indexed)
            return places.keys() == names and tasks.ask(behind(places, 1)) == 0

        async with indexing.in_background(url, store, first_s=0.0):
            commit(store, [decoded_event("new", "created", attributes={"b": 5})])
            await asyncio.to_thread(until, lambda: done({"b"}))
            await asyncio.to_thread(cli, "index", "more")
            await asyncio.to_thread(until, lambda: done({"b", "more"}))
        assert tasks.count("attributes.b eq 5") == 1


async def test_a_store_in_memory_has_no_indexes() -> None:
    """No thread is started for it."""
    before = len(asyncio.all_tasks())
    async with indexing.in_background("memory://", MemoryStore()):
        assert len(asyncio.all_tasks()) == before


@pytest.mark.usefixtures("filled")
async def test_a_stop_does_not_wait_for_a_look_that_opens_its_store(folder: Path) -> None:
    """A database that takes the connection and says nothing has ten seconds otherwise, and a run five to stop."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/nothing"
        with open_store(f"sqlite:///{folder}/status.db") as store:
            async with indexing.in_background(url, store, first_s=0.0):
                connection, _ = await asyncio.to_thread(silent.accept)
                stopped = time.monotonic()
            assert time.monotonic() - stopped < 3
        connection.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, with a deadline."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
