"""Our own API over HTTP: tasks with all that is known of them."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from tests.unit.query_store import event, ids
from tracker.model.records import Position
from tracker.projector.retention import purge
from tracker.query import questions
from tracker.query.tokens import to_vector
from tracker.stores.base import Commit
from tracker.stores.open import open_store
from tracker.testing.stores.values import advance, position
from tracker.web import documents

STATUS_KEYS = 18


def some(count: int) -> list:
    """Tasks ``t00`` …, created one second apart."""
    return [event(f"t{number:02}", "created", f"2026-01-01T00:00:{number:02}Z", attributes={"n": number}) for number in range(count)]


async def test_a_page_has_items_and_its_place(served) -> None:
    """The whole answer is what its model says: items, next and at."""
    client = await served(*some(2))
    page = (await client.get("/api/tasks")).json()
    assert list(page) == ["items", "next", "at"]
    documents.TaskPage.model_validate(page)
    assert len(page["items"][0]) == STATUS_KEYS + 1
    assert page["items"][0]["tracker"]["state"] == "PENDING"


async def test_next_links_lead_through_all(served) -> None:
    """Following ``next`` gives every task once, in order, and the last page has none."""
    client = await served(*some(7))
    found: list[str] = []
    url: str | None = "/api/tasks?limit=3&sorters=-created&fields=id"
    while url is not None:
        answer = await client.get(url)
        found += ids(answer.json()["items"])
        url = answer.json()["next"]
        assert ("link" in answer.headers) == (url is not None)
    assert found == [f"t{number:02}" for number in reversed(range(7))]


async def test_the_link_header_is_next(served) -> None:
    """Clients that follow headers find the same address."""
    answer = await (await served(*some(2))).get("/api/tasks?limit=1")
    assert answer.headers["link"] == f'<{answer.json()["next"]}>; rel="next"'


async def test_next_has_the_prefix_of_a_proxy(served) -> None:
    """Under a prefix the next page is there as well."""
    client = await served(*some(2), root_path="/tracker")
    first = (await client.get("/tracker/api/tasks?limit=1")).json()
    assert first["next"].startswith("/tracker/api/tasks?")
    assert ids((await client.get(first["next"])).json()["items"]) == ["t01"]


async def test_filters_take_every_field(served) -> None:
    """The whole grammar, beyond what the compatible API documents."""
    client = await served(*some(5), event("x", "launched"))
    answer = await client.get("/api/tasks", params={"filters": 'state eq "RUNNING" or attributes.n ge 4', "fields": "id"})
    assert sorted(ids(answer.json()["items"])) == ["t04", "x"]


async def test_a_filter_error_says_where(served) -> None:
    """A problem document with the position, from 1."""
    answer = await (await served()).get("/api/tasks", params={"filters": "state eq"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["position"] == 9
    documents.ProblemDocument.model_validate(answer.json())


async def test_relative_times_go_from_the_request(served) -> None:
    """``now`` in a filter is the moment of the request."""
    now = datetime.now(UTC).isoformat()
    client = await served(event("new", "created", now), event("old", "created"))
    answer = await client.get("/api/tasks", params={"filters": "modified gt now-1h"})
    assert ids(answer.json()["items"]) == ["new"]


async def test_a_scan_that_ends_early_says_so(served, monkeypatch) -> None:
    """Where a filter is decided task by task, a page may end early: it says how far it looked, and where to go on."""
    monkeypatch.setattr(questions, "page", functools.partial(questions.page, scan_limit=3))
    client = await served(*some(5))
    url, looked = "/api/tasks?filters=attributes.n%20eq%204&fields=id", []
    found: list[str] = []
    while url:
        page = (await client.get(url)).json()
        looked.append(page.get("lookedAt"))
        found += ids(page["items"])
        url = page["next"]
    assert looked == [3, None]
    assert found == ["t04"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "sorters=nothing",
        "after=nonsense",
        "filters=",
        "fields=nothing",
        "fields=tracker.nothing",
        "fields=" + ",".join(["id"] * 101),
        "filter=x",
        "wait_for=!",
        "wait_timeout=11",
        "wait_timeout=nan",
    ],
)
async def test_what_is_wrong_is_a_400(served, query) -> None:
    """One problem document in one sentence, never a 422."""
    answer = await (await served()).get(f"/api/tasks?{query}")
    assert answer.status_code == 400
    assert answer.json()["title"] == "Bad Request"


async def test_an_unknown_parameter_is_refused_with_a_suggestion(served) -> None:
    """``filter`` instead of ``filters`` would answer another question."""
    answer = await (await served()).get("/api/tasks?filter=x")
    assert answer.json()["detail"] == 'there is no parameter "filter" here; did you mean "filters"?'


async def test_a_cursor_of_another_order_is_refused(served) -> None:
    """It can't go on in an order that it was not made for."""
    client = await served(*some(2))
    page = (await client.get("/api/tasks?limit=1")).json()
    answer = await client.get(page["next"] + "&sorters=-modified")
    assert answer.status_code == 400


async def test_fields_select_members(served) -> None:
    """In the order of the document; of an object single members; what a task lacks is left out."""
    client = await served(event("a", "created", attributes={"x": 1, "y": 2}))
    answer = await client.get("/api/tasks/a?fields=attributes.y,tracker.state,id,attributes.none")
    document = answer.json()
    del document["at"]
    assert document == {"id": "a", "attributes": {"y": 2}, "tracker": {"state": "PENDING"}}


async def test_without_the_extension_there_are_the_18_keys(served) -> None:
    """And where the answer was read at."""
    answer = await (await served(event("a", "created"))).get("/api/tasks/a?extension=false")
    assert len(answer.json()) == STATUS_KEYS + 1
    assert "tracker" not in answer.json()


@pytest.mark.parametrize("id", ["a/b", "why", "a/why", "..", "ü€", "%2F", "a?b#c", "a b+c", '"', "\\"])
async def test_an_id_of_any_characters(served, id) -> None:
    """Percent-encoded as one segment, decoded once, in each of its paths."""
    client = await served(event(id, "created"))
    path = f"/api/tasks/{quote(id, safe='').replace('.', '%2E')}"
    for answer in (await client.get(path), await client.get(path + "/why"), await client.get(path + "/tree")):
        assert answer.json()["id"] == id


async def test_a_task_as_its_model_says(served) -> None:
    """All members of the model, and times with milliseconds and Z."""
    answer = await (await served(event("a", "created"))).get("/api/tasks/a")
    task = documents.TaskAnswer.model_validate(answer.json())
    assert task.at.revision == task.tracker.revision
    assert answer.json()["created"] == "2026-01-01T00:00:00.000Z"


@pytest.mark.parametrize("path", ["none", "none/why", "none/tree", "gone", "gone/tree"])
async def test_what_is_not_there(served, path) -> None:
    """A task that no event named, or that is deleted, is a 404."""
    answer = await (await served(event("gone", "created"), event("gone", "deleted"))).get(f"/api/tasks/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_purged_task_says_so(served, tmp_path) -> None:
    """A 404 with when it was purged and how it had ended, of our API; of the compatible one as any other 404, and in no list of either."""
    client = await served(event("old", "completed", completionStatus="SUCCESS"), event("new", "created"))
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        purge(store, {"QUEUED_TASK": 1.0}, datetime(2026, 2, 1, tzinfo=UTC))
    for path in ("old", "old/tree"):
        answer = await client.get(f"/api/tasks/{path}")
        assert answer.status_code == 404
        assert answer.json()["detail"] == (
            "task 'old' was purged at 2026-02-01T00:00:00.000Z: attempt 1 had ended with SUCCESS at 2026-01-01T00:00:00.000Z"
        )
    assert list((await client.get("/api/tasks/old/why")).json()["fields"]) == ["purged"]
    assert (await client.get("/task-status/v1/old")).status_code == 404
    assert ids((await client.get("/api/tasks")).json()["items"]) == ids((await client.get("/task-status/v1")).json()) == ["new"]
    status = (await client.get("/api/status")).json()
    documents.Status.model_validate(status)
    assert (status["tasks"], status["purged"]) == (1, 1)
    assert status["storeBytes"] > status["storeFreeBytes"] >= 0
    assert "tracker_purged_tasks 1.0" in (await client.get("/metrics")).text


async def test_a_tag_saves_the_answer_while_the_task_is_the_same(served) -> None:
    """304 without a body; a weak tag, as the place moves on."""
    client = await served(event("a", "created"))
    first = await client.get("/api/tasks/a")
    again = await client.get("/api/tasks/a", headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get("/api/tasks/a", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


async def test_head_is_get_without_the_body(served) -> None:
    """The same headers, the length among them."""
    client = await served(event("a", "created"))
    head, get = await client.head("/api/tasks/a"), await client.get("/api/tasks/a")
    assert head.content == b""
    assert (head.status_code, head.headers["content-length"], head.headers["etag"]) == (200, str(len(get.content)), get.headers["etag"])


async def test_a_method_that_is_not_there(served) -> None:
    """405 names what there is."""
    answer = await (await served()).delete("/api/tasks/a")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_why_names_the_event_of_a_field(served) -> None:
    """By source, id, time, attempt and sequence."""
    answer = await (await served(event("a", "created", id="e1", launcher="sweep"))).get("/api/tasks/a/why")
    documents.Why.model_validate(answer.json())
    assert answer.json()["fields"]["launcher"] == {
        "value": "sweep",
        "event": {"attempt": 1, "sequence": 0, "time": "2026-01-01T00:00:00.000000Z", "source": "/test", "id": "e1"},
        "rule": None,
    }


async def test_why_of_a_deleted_task(served) -> None:
    """It says that it is deleted."""
    answer = await (await served(event("a", "deleted"))).get("/api/tasks/a/why")
    assert list(answer.json()["fields"]) == ["deleted"]


async def test_the_tree_goes_up_and_down(served) -> None:
    """From the topmost ancestor to the descendants of the task that was asked for."""
    client = await served(event("top", "created"), event("mid", "created", parentId="top"), event("low", "created", parentId="mid"))
    answer = await client.get("/api/tasks/mid/tree")
    documents.Tree.model_validate(answer.json())
    root = answer.json()["root"]
    assert (root["id"], root["children"][0]["id"], root["children"][0]["children"][0]["id"]) == ("top", "mid", "low")


async def test_the_deepest_tree(served) -> None:
    """100 levels up and 100 down are answered, and that there are more is said."""
    client = await served(*(event(f"t{number}", "created", parentId=f"t{number - 1}") for number in range(250)))
    answer = await client.get("/api/tasks/t120/tree?max_depth=100")
    assert (answer.json()["tasks"], answer.json()["cut"]) == (201, True)


async def test_a_count_is_capped_and_says_so(served) -> None:
    """More than the cap is not exact."""
    client = await served(*some(5))
    documents.Counts.model_validate((await client.get("/api/counts")).json())
    whole, capped = (await client.get("/api/counts")).json(), (await client.get("/api/counts?cap=3")).json()
    assert (whole["total"], whole["exact"]) == (5, True)
    assert (capped["total"], capped["exact"]) == (3, False)


async def test_counts_by_a_field(served) -> None:
    """Each value with its count, null last; the total is their sum."""
    client = await served(event("a", "launched"), event("b", "launched"), event("c", "completed", completionStatus="ERROR"))
    counts = (await client.get("/api/counts?by=completionStatus")).json()
    documents.Counts.model_validate(counts)
    assert counts["counts"] == [{"value": "ERROR", "count": 1}, {"value": None, "count": 2}]
    assert counts["total"] == 3


async def test_counts_by_no_field(served) -> None:
    """A field that is not there gets a suggestion."""
    answer = await (await served()).get("/api/counts?by=stat")
    assert 'did you mean "state"' in answer.json()["detail"]


async def test_a_histogram_has_empty_buckets_too(served) -> None:
    """From the first to the last, each with the counts by a field."""
    client = await served(event("a", "created"), event("b", "launched", "2026-01-01T02:30:00Z"))
    histogram = (await client.get("/api/histogram?bucket=1h&by=state")).json()
    documents.Histogram.model_validate(histogram)
    assert [(each["count"], each["counts"]) for each in histogram["buckets"]] == [(1, [1, 0]), (0, [0, 0]), (1, [0, 1])]


async def test_the_status_is_that_of_the_command_line(served, tmp_path) -> None:
    """Positions, counters, parked records and jumps, and the place."""
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        store.claim([position()])
        store.commit(Commit(advances=[advance(0, 5)]))
    status = (await (await served()).get("/api/status")).json()
    documents.Status.model_validate(status)
    assert status["partitions"][0]["nextOffset"] == status["at"]["positions"][0]["nextOffset"] == 5


async def test_waiting_for_what_is_reached(served, tmp_path) -> None:
    """The vector of an answer is reached, so the next answer comes at once."""
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        store.claim([position()])
    client = await served(event("a", "created"))
    vector = (await client.get("/api/tasks")).json()["at"]["vector"]
    assert (await client.get(f"/api/tasks/a?wait_for={vector}")).status_code == 200


async def test_waiting_in_vain_times_out(served, tmp_path) -> None:
    """504 says how far the store is."""
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        store.claim([position()])
    client = await served()
    answer = await client.get(f"/api/tasks?wait_timeout=0.05&wait_for={to_vector([position(next_offset=7)])}")
    assert answer.status_code == 504
    assert "waited for offset 7" in answer.json()["detail"]
    assert answer.json()["at"]["positions"][0]["nextOffset"] == 0


async def test_waiting_for_what_never_comes(served, tmp_path) -> None:
    """409 with the reason: the store reads another log."""
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        store.claim([position()])
    answer = await (await served()).get(f"/api/tasks?wait_for={to_vector([Position('another', 0, 1, '')])}")
    assert answer.status_code == 409
    assert "another" in answer.json()["detail"]
