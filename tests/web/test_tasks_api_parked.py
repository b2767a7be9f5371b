"""Our own API over HTTP: the records that were refused."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tracker.model.records import Record
from tracker.query.api import open_query
from tracker.stores.base import Commit, Counters, ParkedRecord
from tracker.stores.open import open_store
from tracker.testing import events
from tracker.testing.stores.values import AT, advance, position
from tracker.web import documents
from tracker.web.access import READ, Access, Client, _digest

GARBAGE = b"\xff{"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with three parked records: garbage, garbage with a key that is no text, and an event that is valid by now."""
    url = f"sqlite:///{tmp_path}/status.db"
    valid = events.created("late").to_json()
    records = [
        Record(*AT, 0, GARBAGE, key=b"k", headers=(("h", b"v"), ("n", None)), timestamp_ms=5),
        Record(*AT, 1, GARBAGE, key=b"\xff"),
        Record(*AT, 2, valid),
    ]
    with open_store(url) as store:
        store.claim([position()])
        parked = [
            ParkedRecord(record=record, reason=reason, detail="why")
            for record, reason in zip(records, ("not-json", "not-json", "too-large"), strict=True)
        ]
        store.commit(Commit(advances=[advance(0, 3, counters=Counters(3, parked=3))], parked=parked))
    return url


@pytest.fixture
async def client(served, url):
    """A server that may write to the store."""
    return await served(query=open_query(url), writable=lambda: open_store(url, create=False))


async def test_the_list_is_by_number(client) -> None:
    """Each with its place, reason and key, without bytes; what is no text is in base64."""
    page = (await client.get("/api/parked")).json()
    documents.ParkedPage.model_validate(page)
    assert [(each["number"], each["offset"], each["reason"], each["key"]) for each in page["items"]] == [
        (1, 0, "not-json", "k"),
        (2, 1, "not-json", None),
        (3, 2, "too-large", None),
    ]
    assert page["items"][1]["keyBase64"] == base64.b64encode(b"\xff").decode()


async def test_next_links_lead_through_all(client) -> None:
    """Page by page, under the same filter."""
    first = (await client.get("/api/parked?limit=1&reason=not-json")).json()
    second = (await client.get(first["next"])).json()
    assert [each["number"] for each in first["items"] + second["items"]] == [1, 2]
    assert second["next"] is None


async def test_one_has_its_bytes_and_headers(client) -> None:
    """In base64, as they may be anything."""
    shown = (await client.get("/api/parked/1")).json()
    documents.ParkedWithBytes.model_validate(shown)
    assert base64.b64decode(shown["value"]) == GARBAGE
    assert shown["headers"] == [["h", "dg=="], ["n", None]]


@pytest.mark.parametrize("path", ["/api/parked/9", "/api/parked/x"])
async def test_what_is_not_there(client, path) -> None:
    """A number that no record has, or that is none."""
    assert (await client.get(path)).status_code == 404


async def test_what_is_an_event_by_now_is_folded(client) -> None:
    """Its count moves, and the task is there."""
    assert (await client.post("/api/parked/3/retry")).json() == {"applied": 1, "unchanged": 0, "ignored": 0, "stillParked": 0}
    assert (await client.get("/api/tasks/late")).status_code == 200
    counters = (await client.get("/api/status")).json()["counters"]
    assert counters == {"read": 3, "applied": 1, "unchanged": 0, "ignored": 0, "parked": 2}


async def test_what_is_still_refused_stays(client) -> None:
    """Garbage is garbage."""
    assert (await client.post("/api/parked/1/retry")).json()["stillParked"] == 1


async def test_all_are_tried_again_at_once(client) -> None:
    """Or all of one reason."""
    assert (await client.post("/api/parked/retry?reason=not-json")).json()["stillParked"] == 2
    assert (await client.post("/api/parked/retry")).json() == {"applied": 1, "unchanged": 0, "ignored": 0, "stillParked": 2}


async def test_dropped_bytes_are_gone_and_the_count_stays(client) -> None:
    """Once; a second time there is nothing to drop, and nothing to try again."""
    assert (await client.delete("/api/parked/1")).json() == {"dropped": 1}
    assert (await client.delete("/api/parked/1")).json() == {"dropped": 0}
    assert (await client.get("/api/parked/1")).json()["value"] is None
    assert (await client.post("/api/parked/1/retry")).status_code == 409
    assert (await client.get("/api/status")).json()["counters"]["parked"] == 3


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/parked/9/retry"), ("DELETE", "/api/parked/9")])
async def test_writing_to_what_is_not_there(client, method, path) -> None:
    """A 404, and nothing changes."""
    assert (await client.request(method, path)).status_code == 404


async def test_an_unknown_reason_is_a_400(client) -> None:
    """Reasons are the contract's five."""
    assert (await client.post("/api/parked/retry?reason=x")).status_code == 400


async def test_a_server_that_only_reads_says_so(served, url) -> None:
    """409, and nothing changes."""
    client = await served(query=open_query(url))
    answer = await client.post("/api/parked/retry")
    assert answer.status_code == 409
    assert "only reads" in answer.json()["detail"]


async def test_writing_needs_the_scope(served, url) -> None:
    """A token that may read is refused with a 403."""
    access = Access(tokens={_digest("secret" * 4): Client("reader", frozenset({READ}))})
    client = await served(query=open_query(url), access=access, writable=lambda: open_store(url, create=False))
    headers = {"Authorization": f"Bearer {'secret' * 4}"}
    assert (await client.get("/api/parked", headers=headers)).status_code == 200
    answer = await client.delete("/api/parked/1", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert (await client.get("/api/parked")).status_code == 401
