"""Work on a whole store, which folds and compares between two statements: no timer of the server's ends it, and it never holds workers up for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.naive.workload import task_id
from tests.rebuild.logs import TASKS, log_in
from tests.services.test_postgres_rebuild import hash_of, plant, rebuilt, worked
from tracker.errors import StoreUnavailable
from tracker.rebuild.copying import copy
from tracker.stores import postgres, postgres_shadow
from tracker.stores.base import Commit, Write
from tracker.stores.open import open_contents, open_store
from tracker.stores.postgres import PostgresStore
from tracker.stores.postgres_fill import fill
from tracker.testing.stores.values import write

pytestmark = pytest.mark.timeout(120)
LIMIT_MS = 300
PAUSE_S = 1.0


@pytest.fixture
def impatient(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database whose own limits, and ours of a commit, are shorter than any pause."""
    name = database.rpartition("/")[2]
    with open_store(database), psycopg.connect(database, autocommit=True) as connection:
        for setting in ("idle_in_transaction_session_timeout", "statement_timeout"):
            connection.execute(f'ALTER DATABASE "{name}" SET {setting} = {LIMIT_MS}')
    monkeypatch.setattr(postgres, "FROZEN_MS", LIMIT_MS)
    return database


def slow(writes: list[Write]) -> Iterator[Write]:
    """They, and a pause before each."""
    for each in writes:
        time.sleep(PAUSE_S)
        yield each


def test_a_fill_may_take_its_time(impatient: str) -> None:
    """The server is busy with a COPY for as long as its rows take to be made."""
    with PostgresStore(impatient) as store:
        fill(store, slow([write("a"), write("b")]), Commit())
        assert store.load(["a", "b"]).keys() == {"a", "b"}


def test_a_copy_may_take_its_time(impatient: str, tmp_path: Path) -> None:
    """The transaction in which all is read waits for whoever writes what was read."""
    worked(impatient, log_in(tmp_path))
    with open_contents(impatient) as contents, open_store(f"sqlite:///{tmp_path / 'copy.db'}") as target:
        holdings = contents.holdings()
        next(holdings)
        time.sleep(PAUSE_S)
        copied = copy(contents, target)
        time.sleep(PAUSE_S)
        assert (copied.tasks, len(contents.partitions())) == (TASKS, 1)


def test_a_rebuild_may_take_its_time(impatient: str, tmp_path: Path) -> None:
    """At each of its stations, while writers wait too."""
    log = log_in(tmp_path)
    worked(impatient, log)
    expected = hash_of(impatient)
    plant(impatient, [task_id(7)])
    paused = set()

    def pause(seam: str) -> None:
        if seam not in paused:
            paused.add(seam)
            time.sleep(PAUSE_S)

    assert rebuilt(impatient, log, accept=True, seam=pause).note.state == "swapped"
    assert {"verifying", "verified", "swapping", "standing"} < paused
    assert hash_of(impatient) == expected


def test_a_rebuild_that_is_frozen_while_writers_wait_is_ended(impatient: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is exchanged then, the writers go on, and the next run makes the exchange."""
    monkeypatch.setattr(postgres_shadow, "STANDING_MS", LIMIT_MS)
    log = log_in(tmp_path)
    worked(impatient, log)

    def freeze(seam: str) -> None:
        if seam == "standing":
            time.sleep(PAUSE_S)

    with pytest.raises(StoreUnavailable):
        rebuilt(impatient, log, seam=freeze)
    with open_store(impatient) as store:
        store.commit(Commit(writes=[write("meanwhile")]))
    outcome = rebuilt(impatient, log)
    assert (outcome.note.state, [pair.id for pair in outcome.pairs]) == ("different", ["meanwhile"])
