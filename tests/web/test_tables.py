"""All tasks as one table over HTTP: Parquet, Arrow, CSV."""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.query_store import commit, event
from tracker.analytics.columns import TASKS
from tracker.fold.event import TaskEvent
from tracker.stores.open import open_store
from tracker.web import turns

NAMES = [column.name for column in TASKS]
PATHS = ["/api/tasks.parquet", "/api/tasks.arrow", "/api/tasks.csv"]


def some(count: int) -> list[TaskEvent]:
    """Tasks ``t000`` … with a number each."""
    return [event(f"t{number:03}", "created", launcher="ab"[number % 2], attributes={"n": number}) for number in range(count)]


def read(path: str, content: bytes) -> list[dict]:
    """The rows of an answer; of CSV all values are texts."""
    if path.endswith("csv"):
        return list(csv.DictReader(io.StringIO(content.decode())))
    table = pq.read_table(io.BytesIO(content)) if path.endswith("parquet") else pa.ipc.open_stream(content).read_all()
    rows: list[dict] = table.to_pylist()
    return rows


@pytest.mark.parametrize("path", PATHS)
async def test_a_table_has_all_that_match(served, path: str) -> None:
    """By the filters of the list, with the columns of the one table and those of attributes."""
    client = await served(*some(40))
    answer = await client.get(path, params={"filters": 'launcher eq "b"', "attribute": "n:int64"})
    assert answer.status_code == 200
    rows = read(path, answer.content)
    assert list(rows[0]) == [*NAMES, "n"]
    assert [row["id"] for row in rows] == [f"t{number:03}" for number in range(1, 40, 2)]
    assert int(rows[0]["n"]) == 1
    assert answer.headers["content-disposition"] == f'attachment; filename="{path.rpartition("/")[2]}"'


@pytest.mark.parametrize("path", PATHS)
async def test_its_token_leads_to_the_changes(served, tmp_path: Path, path: str) -> None:
    """The header's token given as `since` tells what changed later, and no more."""
    client = await served(*some(3))
    token = (await client.get(path)).headers["tracker-token"]
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        commit(store, [event("t001", "deleted"), event("new", "created")])
    rows = read(path, (await client.get(path, params={"since": token})).content)
    assert [(row["id"], row["change"]) for row in rows] == [("new", "changed"), ("t001", "deleted")]


@pytest.mark.parametrize("path", PATHS)
async def test_mistakes_are_told_before_anything_is_sent(served, path: str) -> None:
    """Problem details, as everywhere under /api."""
    client = await served(*some(1))
    for params, status in (
        ({"filters": "stat eq x"}, 400),
        ({"attribute": "n:int65"}, 400),
        ({"attribute": "launcher"}, 400),
        ({"since": "yesterday"}, 400),
        ({"since": "0123456789abcdef.1"}, 409),
        ({"limit": "1"}, 400),
    ):
        answer = await client.get(path, params=params)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), params


@pytest.mark.parametrize("path", PATHS)
async def test_a_head_has_no_table(served, path: str) -> None:
    """The headers, and nothing is made."""
    answer = await (await served(*some(1))).head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].partition(";")[0] in {
        "application/vnd.apache.parquet",
        "application/vnd.apache.arrow.stream",
        "text/csv",
    }


async def test_no_task_is_a_table_without_rows(served) -> None:
    """With its columns."""
    client = await served()
    assert pq.read_table(io.BytesIO((await client.get(PATHS[0])).content)).schema.names == NAMES
    assert pa.ipc.open_stream((await client.get(PATHS[1])).content).read_all().num_rows == 0
    assert (await client.get(PATHS[2])).text == ",".join(NAMES) + "\n"


async def test_a_server_without_pyarrow_says_so(served, monkeypatch: pytest.MonkeyPatch) -> None:
    """501, but CSV is there."""
    client = await served(*some(1))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = await client.get(PATHS[0])
    assert (answer.status_code, "pip install 'tracker[analytics]'" in answer.json()["detail"]) == (501, True)
    assert (await client.get(PATHS[2])).status_code == 200


async def test_exports_take_turns(served, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than may be made at once is told to come back."""
    monkeypatch.setattr(turns, "TURN_S", 0.05)
    monkeypatch.setattr(turns, "MAX_EXPORTS", 0)
    answer = await (await served(*some(1))).get(PATHS[2])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "exports" in answer.json()["detail"]


async def test_a_client_that_leaves_ends_the_making(served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn is free again, and the next client is served."""
    monkeypatch.setattr(turns, "MAX_EXPORTS", 1)
    client = await served(*some(600))
    async with client.stream("GET", PATHS[2]) as answer:
        async for _ in answer.aiter_bytes(1_000):
            break
    rows = read(PATHS[2], (await client.get(PATHS[2])).content)
    assert len(rows) == 600
    await asyncio.sleep(0)
    gc.collect()
