"""`tracker.connect`: the query module by plain calls."""

from __future__ import annotations

import asyncio
import inspect
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

import tracker
from tests.unit.query_store import commit, event, ids
from tracker.errors import NotFound, UsageError
from tracker.model.records import Position
from tracker.query import BlockingQuery, Reached, TaskQuery, TimedOut
from tracker.stores.sql import SqlStore

LOG = [event(f"t{number}", "created", f"2026-01-01T00:00:0{number}Z", parentId="t0") for number in range(9)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store of nine tasks."""
    with SqlStore(str(tmp_path / "status.db")) as store:
        commit(store, LOG)
        yield store


@pytest.fixture
def tasks(store: SqlStore) -> Iterator[BlockingQuery]:
    """A connection to it."""
    with tracker.connect(f"sqlite:///{store.path}") as tasks:
        yield tasks


def test_it_has_the_methods_of_the_other_face():
    """Name by name with the same arguments: `TaskQuery` and this differ in ``await`` only."""
    own = {"close"}
    others = {"over", "commits"}
    plain, waited = (
        {name: member for name, member in inspect.getmembers(face, inspect.isroutine) if name[0] != "_"}
        for face in (BlockingQuery, TaskQuery)
    )
    assert plain.keys() - own == waited.keys() - others
    for name in plain.keys() - own - {"ask"}:
        assert inspect.signature(plain[name]).parameters == inspect.signature(waited[name]).parameters, name


def test_it_answers_as_the_other_face_does(store, tasks):
    """Every kind of answer, by plain calls and by awaited ones."""

    async def waited() -> list[object]:
        async with tracker.open_query(f"sqlite:///{store.path}") as other:
            return [
                await other.get("t1"),
                await other.get_with_extension("t1"),
                (await other.list(limit=2)).items,
                await other.count(),
                await other.count(by="state"),
                await other.count(cap=5),
                await other.counts(None, "parentId"),
                await other.histogram(by="state"),
                await other.tree("t1"),
                await other.latest("t1"),
                await other.why("t1"),
                await other.token(),
                (await other.status()).to_json(),
                await other.parked(),
                await other.parked_record(1),
                [status async for status in other.stream()],
                [document async for document in other.documents(sorters="-id", extension=True)],
                [change async for change in other.changes(None, "id eq t1")],
            ]

    plain = [
        tasks.get("t1"),
        tasks.get_with_extension("t1"),
        tasks.list(limit=2).items,
        tasks.count(),
        tasks.count(by="state"),
        tasks.count(cap=5),
        tasks.counts(None, "parentId"),
        tasks.histogram(by="state"),
        tasks.tree("t1"),
        tasks.latest("t1"),
        tasks.why("t1"),
        tasks.token(),
        tasks.status().to_json(),
        tasks.parked(),
        tasks.parked_record(1),
        list(tasks.stream()),
        list(tasks.documents(sorters="-id", extension=True)),
        list(tasks.changes(None, "id eq t1")),
    ]
    assert plain == asyncio.run(waited())
    assert tasks.get("nobody") is None
    assert tasks.get_with_extension("nobody") is None


async def test_it_works_inside_a_running_loop(tasks):
    """As in a notebook, whose cells run in one."""
    assert tasks.count() == 9
    assert ids(tasks.documents()) == [f"t{number}" for number in range(9)]


def test_iterators_are_left_at_any_moment(store, tasks):
    """A stream that is not read to its end holds nothing up: neither writers, nor closing."""
    documents = tasks.documents()
    assert next(documents)["id"] == "t0"
    commit(store, [event("u", "created")])
    tasks.close()
    assert len(list(documents)) == 8
    with pytest.raises(UsageError, match="the connection is closed"):
        tasks.count()


def test_changes_are_followed_until_it_is_closed(store, tasks):
    """What is committed meanwhile comes as it happens; closing from another thread ends the iteration."""
    followed = tasks.watch('id sw "u"')
    commit(store, [event("u1", "created"), event("v", "created")])
    assert {(change.id, change.kind) for change in islice(followed, 2)} == {("u1", "changed"), ("v", "left")}
    closing = threading.Timer(0.1, tasks.close)
    closing.start()
    assert list(followed) == []
    closing.join()


def test_waiting_ends_three_ways(store, tasks):
    """Reached, timed out; of another store's positions see `TaskQuery`, whose rules these are."""
    begin = Position("t", 0, 0, "kafka:c")
    store.claim([begin])
    assert isinstance(tasks.wait_for(begin), Reached)
    assert isinstance(tasks.wait_for(Position("t", 0, 5, "kafka:c"), timeout_s=0.02), TimedOut)


def test_errors_come_at_once(tmp_path):
    """A store that is not there, and a URL that is none."""
    with pytest.raises(NotFound):
        tracker.connect(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(UsageError):
        tracker.connect("memory://")


def test_ctrl_c_ends_a_call(store):
    """A process that waits for changes ends by SIGINT as any Python does."""
    # A shell's job in the background, as a test run may be, hands on that SIGINT is ignored.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = (
        f"{listening}; import tracker; tasks = tracker.connect('sqlite:///{store.path}'); print('waiting', flush=True); list(tasks.watch())"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert said.strip().endswith("KeyboardInterrupt")
