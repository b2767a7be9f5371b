"""The compatible API over HTTP: what SailPoint's clients get."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.unit.query_store import event, ids
from tracker.model.status import TaskStatus

PATHS = ("/task-status/v1", "/beta/task-status", "/v2024/task-status", "/v2025/task-status", "/v2026/task-status")
LEGACY = PATHS[1:]
KEYS = [field.alias for field in TaskStatus.model_fields.values()]
RUNNING = [event("r", "created", "2026-01-01T00:00:03Z"), event("r", "launched", "2026-01-01T00:00:04Z")]
ENDED = [event("e", "created", "2026-01-01T00:00:01Z", launcher="sweep"), event("e", "completed", completionStatus="ERROR")]
PENDING = [event("p", "created", "2026-01-01T00:00:02Z")]
ALL = (*RUNNING, *ENDED, *PENDING)


def sentence(answer: httpx.Response) -> str:
    """The one sentence of an ErrorResponseDto, after a look at its shape."""
    document = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert list(document) == ["detailCode", "trackingId", "messages", "causes"]
    assert re.fullmatch("[0-9a-f]{32}", document["trackingId"])
    [message] = document["messages"]
    assert list(message) == ["locale", "localeOrigin", "text"]
    text: str = message["text"]
    return text


@pytest.mark.parametrize("path", PATHS)
async def test_the_list_is_a_bare_array_by_created(served, path) -> None:
    """Every version lists all tasks, in a stable order, without an envelope."""
    answer = await (await served(*ALL)).get(path)
    assert answer.headers["content-type"] == "application/json"
    assert ids(answer.json()) == ["e", "p", "r"]


async def test_a_task_has_the_18_keys_in_order(served) -> None:
    """Neither more (no extension) nor fewer, listed and got alike."""
    client = await served(*ALL)
    one = (await client.get("/task-status/v1/e")).json()
    assert list(one) == KEYS
    assert one == (await client.get("/task-status/v1")).json()[0]


async def test_an_empty_list_is_an_empty_array(served) -> None:
    """200 with [], never 204 or null: the official Paginator dies of those."""
    answer = await (await served()).get("/task-status/v1")
    assert (answer.status_code, answer.content) == (200, b"[]")


async def test_modified_is_always_there(served) -> None:
    """Older releases of the SDK refuse a task without it."""
    assert (await (await served(*PENDING)).get("/task-status/v1/p")).json()["modified"] == "2026-01-01T00:00:02.000Z"


async def test_the_count_is_spelled_as_the_sdk_looks_it_up(served) -> None:
    """X-Total-Count goes over the wire in exactly this spelling, and counts what matches, not what is on the page."""
    answer = await (await served(*ALL)).get("/task-status/v1", params={"count": "true", "limit": 1, "filters": "completionStatus isnull"})
    assert (b"X-Total-Count", b"2") in answer.headers.raw
    assert len(answer.json()) == 1


async def test_no_count_unless_asked(served) -> None:
    """Count is false by default."""
    assert "x-total-count" not in (await (await served(*ALL)).get("/task-status/v1")).headers


async def test_limit_and_offset_page(served) -> None:
    """Record-based; beyond the end there is an empty array; limit 0 gives the count alone."""
    client = await served(*ALL)
    assert ids((await client.get("/task-status/v1", params={"limit": 1, "offset": 1})).json()) == ["p"]
    assert (await client.get("/task-status/v1", params={"offset": 3})).json() == []
    answer = await client.get("/task-status/v1", params={"limit": 0, "count": "true"})
    assert (answer.json(), answer.headers["X-Total-Count"]) == ([], "3")


async def test_a_page_has_250_tasks_unless_told(served) -> None:
    """The Paginator takes 250 for granted and a shorter page for the last one."""
    client = await served(*(event(f"t{number:03}", "created") for number in range(251)))
    assert len((await client.get("/task-status/v1")).json()) == 250


@pytest.mark.parametrize(
    "query",
    [
        "limit=251",
        "limit=-1",
        "limit=x",
        "offset=-1",
        "offset=1000001",
        "count=maybe",
        "sorters=nothing",
        "filters=nothing eq 1",
        "filters=id",
    ],
)
async def test_what_is_wrong_is_a_400_with_a_sentence(served, query) -> None:
    """Also where FastAPI itself refuses: never a 422."""
    answer = await (await served()).get(f"/task-status/v1?{quote(query, safe='=')}")
    assert answer.status_code == 400
    assert answer.json()["detailCode"] == "400.1 Bad Request Content"
    assert query.partition("=")[0].removesuffix("s") in sentence(answer).lower()


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ("completionStatus isnull", ["p", "r"]),
        ('completionStatus eq "Error"', ["e"]),
        ('id in ("p","e")', ["e", "p"]),
        ('launcher in ("SWEEP")', ["e"]),
        ('state eq "RUNNING"', ["r"]),
        ("created gt 2026-01-01T00:00:02Z", ["r"]),
        ("pr completionStatus", ["e"]),
        ('id eq "E"', []),
        ("", ["e", "p", "r"]),
    ],
)
async def test_filters(served, filters, found) -> None:
    """SailPoint's in every version, case-insensitively, and the whole of our superset; an empty text is none."""
    assert ids((await (await served(*ALL)).get("/beta/task-status", params={"filters": filters})).json()) == found


async def test_type_filters_take_the_documented_kinds(served) -> None:
    """On these paths `type` is SailPoint's CLOUD_... kind, not the field, as their document says."""
    client = await served(*ALL)
    assert (await client.get("/task-status/v1", params={"filters": 'type eq "CLOUD_ACCOUNT_AGGREGATION"'})).json() == []
    assert (await client.get("/task-status/v1", params={"filters": 'type eq "QUARTZ"'})).status_code == 400


async def test_sorters(served) -> None:
    """Any field, with - descending; SailPoint's own has `created` alone."""
    client = await served(*ALL)
    assert ids((await client.get("/task-status/v1", params={"sorters": "-created"})).json()) == ["r", "p", "e"]
    assert ids((await client.get("/task-status/v1", params={"sorters": "completionStatus,-id"})).json()) == ["e", "r", "p"]


async def test_unknown_parameters_and_headers_are_ignored(served) -> None:
    """As by the original; X-SailPoint-Experimental is let through in every version."""
    answer = await (await served(*ALL)).get("/v2024/task-status?nothing=1", headers={"X-SailPoint-Experimental": "true"})
    assert (answer.status_code, len(answer.json())) == (200, 3)


@pytest.mark.parametrize("id", ["a/b:c d", "a%2Fb", "100%", "a+b", "ü/ß", "..", "pending-tasks", "\U0001f600", "q?x=1#y"])
async def test_an_id_of_any_characters(served, id) -> None:
    """The path's segment is decoded once; nothing in it is taken for a part of the path."""
    answer = await (await served(event(id, "created"))).get(f"/task-status/v1/{quote(id, safe='').replace('.', '%2E')}")
    assert (answer.status_code, answer.json()["id"]) == (200, id)


@pytest.mark.parametrize("path", ["/task-status/v1/nothing", "/task-status/v1/", "/nothing", "/v3/task-status", "/task-status/v1/a/b"])
async def test_what_is_not_there(served, path) -> None:
    """404 with the error's body, for tasks and paths alike."""
    answer = await (await served()).get(path)
    assert (answer.status_code, answer.json()["detailCode"]) == (404, "404 Not found")
    assert sentence(answer)


async def test_an_id_that_is_no_text(served) -> None:
    """A segment that decodes to no UTF-8 names no task: 400."""
    answer = await (await served()).get("/task-status/v1/%FF")
    assert answer.status_code == 400
    assert "UTF-8" in sentence(answer)


async def test_a_deleted_task_is_not_there(served) -> None:
    """404 by its id, and absent from lists."""
    client = await served(*PENDING, event("p", "deleted"))
    assert (await client.get("/task-status/v1/p")).status_code == 404
    assert (await client.get("/task-status/v1")).json() == []


@pytest.mark.parametrize("path", LEGACY)
async def test_pending_tasks_come_before_an_id_of_that_name(served, path) -> None:
    """The tasks without a completionStatus, marked as deprecated; 200 with an array."""
    answer = await (await served(*ALL)).get(f"{path}/pending-tasks?count=true")
    assert ids(answer.json()) == ["p", "r"]
    assert {(b"X-Deprecated", b"true"), (b"X-Total-Count", b"2")} <= set(answer.headers.raw)


@pytest.mark.parametrize("path", LEGACY)
async def test_the_head_of_pending_tasks(served, path) -> None:
    """The same headers without a body."""
    answer = await (await served(*ALL)).head(f"{path}/pending-tasks?count=true")
    assert (answer.status_code, answer.content, answer.headers["X-Total-Count"]) == (200, b"", "2")
    assert (b"X-Deprecated", b"true") in answer.headers.raw


async def test_what_can_be_got_can_be_headed(served) -> None:
    """HEAD gives the headers of GET, as HTTP has it: for lists with their count, and 404 for a task that is not there."""
    client = await served(*ALL)
    answer = await client.head("/task-status/v1?count=true")
    assert (answer.status_code, answer.headers["X-Total-Count"], answer.content) == (200, "3", b"")
    assert [(await client.head(f"/task-status/v1/{id}")).status_code for id in ("e", "nothing")] == [200, 404]


async def test_no_pending_tasks_are_an_empty_array(served) -> None:
    """The original may say 204 there; of that the SDK makes None, which no caller expects."""
    answer = await (await served(*ENDED)).get("/beta/task-status/pending-tasks")
    assert (answer.status_code, answer.content) == (200, b"[]")


async def test_list_and_count_are_of_one_moment(served) -> None:
    """A page and its count are read from one snapshot: with all on the page, they are the same number."""
    answer = await (await served(*ALL)).get("/task-status/v1?count=true")
    assert len(answer.json()) == int(answer.headers["X-Total-Count"])


async def test_old_tasks_are_shown(served) -> None:
    """SailPoint leaves out what is older than 90 days; what is in the store is shown here."""
    answer = await (await served(event("old", "created", "1999-01-01T00:00:00Z"))).get("/task-status/v1")
    assert ids(answer.json()) == ["old"]


async def test_a_method_that_is_not_there(served) -> None:
    """405 in the same shape, naming what there is."""
    answer = await (await served()).post("/task-status/v1", json={})
    assert answer.status_code == 405
    assert sentence(answer)


async def test_a_fault_of_ours_tells_nothing_but_its_tracking_id(served, monkeypatch, heard) -> None:
    """The client gets a number, the log has it with what happened."""

    async def broken(*_: Any) -> None:
        raise RuntimeError("the inside")

    client = await served()
    monkeypatch.setattr("tracker.query.api.TaskQuery.document", broken)
    answer = await client.get("/task-status/v1/x")
    assert (answer.status_code, answer.json()["detailCode"]) == (500, "500.0 Internal Fault")
    assert "inside" not in answer.text
    assert sentence(answer)
    assert answer.json()["trackingId"] in heard.text
    assert "the inside" in heard.text
