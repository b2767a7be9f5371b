"""The dashboard as the server writes it, without any script: what is shown, where links lead, what is refused."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.query_store import event
from tests.web.reading_pages import Page
from tracker.fold.event import TaskEvent
from tracker.model.records import Position
from tracker.projector.retention import purge
from tracker.stores.open import open_store
from tracker.web.markup import POLICY, assets

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">&amp;\u202e{{ 1234*5678 }}'
PAGES = (
    "/",
    "/?panels=on",
    "/?filters=nonsense",
    "/?sorters=nonsense",
    "/task?id=t0",
    "/task?id=none",
    "/system",
    "/parked?number=9",
    "/login",
)


def tasks(count: int = 12) -> list[TaskEvent]:
    """Tasks t0, t1, … of every outcome, each a minute after the one before."""
    ends = ("SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR")
    made = []
    for number in range(count):
        time = f"2026-01-01T{number // 60:02}:{number % 60:02}:00Z"
        launcher = ("sweep", "spadmin", 'o"dd\\')[number % 3]
        target = {"id": f"s{number % 2}", "name": f"Source {number % 2}", "type": "APPLICATION"}
        made.append(event(f"t{number}", "created", time, uniqueName=f"Task {number}", launcher=launcher, target=target))
        if number % 7 > 0:
            made.append(event(f"t{number}", "launched", time.replace(":00Z", ":10Z")))
        if number % 7 > 1:
            made.append(event(f"t{number}", "completed", time.replace(":00Z", ":30Z"), completionStatus=ends[number % 7 - 2]))
    return made


async def read(client: Any, path: str, status: int = 200) -> Page:
    """A page, which is as all pages are."""
    answer = await client.get(path)
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"].startswith("text/html")
    return Page(answer.text)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_keeps_to_itself(served, path: str) -> None:
    """Its policy allows files of its own alone, and it holds no script, style or handler of its own."""
    answer = await (await served(*tasks())).get(path)
    assert answer.headers["content-security-policy"] == POLICY
    page = Page(answer.text)
    assert [tag for tag in page.all("script") if "src" not in tag.attributes or tag.text.strip()] == []
    assert page.all("style") == []
    assert [name for tag in page.tags for name in tag.attributes if name == "style" or name.startswith("on")] == []
    loaded = [
        tag.attributes.get("src") or tag.attributes.get("href", "") for tag in (*page.all("script"), *page.all("link"), *page.all("use"))
    ]
    assert loaded
    assert all(place.startswith(f"/static/{assets()[0]}/") for place in loaded)


async def test_chips_count_what_the_api_counts(served) -> None:
    """States and statuses alike, whatever else is filtered."""
    client = await served(*tasks())
    page = await read(client, '/?filters=launcher eq "sweep"')
    by_state = (await client.get("/api/counts", params={"by": "state", "filters": 'launcher eq "sweep"'})).json()["counts"]
    by_status = (await client.get("/api/counts", params={"by": "completionStatus", "filters": 'launcher eq "sweep"'})).json()["counts"]
    told = {each["value"]: each["count"] for each in by_state + by_status if each["value"] not in (None, "COMPLETED")}
    assert {name: count for name, count in page.counts.items() if count} == told


async def test_a_chip_filters_and_keeps_the_rest_of_the_filter(served) -> None:
    """Its link adds to the filter, its count is what is listed then, and clicked again it is taken out."""
    client = await served(*tasks())
    page = await read(client, '/?filters=launcher eq "sweep" or launcher eq "spadmin"')
    filtered = await read(client, page.link("Success"))
    assert filtered.total == len(filtered.rows) == page.counts["SUCCESS"] == filtered.counts["SUCCESS"]
    assert (
        filtered.with_id("filters").attributes["value"]
        == '(launcher eq "sweep" or launcher eq "spadmin") and completionStatus eq "SUCCESS"'
    )
    assert (await read(client, filtered.link("Success"))).rows == page.rows


async def test_facets_count_and_filter(served) -> None:
    """Each value's link gives as many tasks as it says, with quotes in it too; "not" gives the others."""
    client = await served(*tasks())
    facets = await read(client, "/?part=panels")
    links = [tag for tag in facets.all("a") if "launcher" in tag.attributes["href"] and "not" not in tag.attributes.get("class", "")]
    assert sorted(link.text for link in links) == ['o"dd\\', "spadmin", "sweep"]
    for link in links:
        assert (await read(client, link.attributes["href"])).total == 4
    left_out = next(tag for tag in facets.classed("not") if "launcher" in tag.attributes["href"])
    assert (await read(client, left_out.attributes["href"])).total == 8


async def test_a_bar_of_the_histogram_is_a_stretch_of_time(served) -> None:
    """Its link lists the tasks that it counts; all bars together have all that ended."""
    client = await served(*tasks())
    bars = [tag for tag in (await read(client, "/?part=panels")).all("a") if "data-start" in tag.attributes and tag.text.strip()]
    listed: list[str] = []
    for bar in bars:
        if "none" not in bar.attributes["aria-label"]:
            listed += (await read(client, bar.attributes["href"])).rows
    ended = await read(client, '/?filters=state eq "COMPLETED"')
    assert sorted(listed) == sorted(ended.rows)


async def test_what_runs_is_drawn_by_when_it_was_created(served) -> None:
    """By when it ended there would be nothing to see; a time that the address names is kept to."""
    client = await served(*tasks())
    running = '&filters=state eq "RUNNING"'
    assert [tag for tag in (await read(client, "/?part=panels" + running)).all("a") if "data-start" in tag.attributes]
    assert not [tag for tag in (await read(client, "/?part=panels&over=completed" + running)).all("a") if "data-start" in tag.attributes]


async def test_pages_of_a_list_have_each_task_once(served) -> None:
    """By the links alone, whatever it is sorted by."""
    client = await served(*tasks(60))
    for sorters in ("-modified", "completed", "-duration", "target.name", "-completionStatus,uniqueName"):
        path, seen = f"/?limit=25&sorters={sorters}", list[str]()
        while path:
            page = await read(client, path)
            seen += page.rows
            path = next((tag.attributes["href"] for tag in page.all("a", rel="next")), "")
        assert sorted(seen) == sorted(f"t{number}" for number in range(60))


async def test_a_title_sorts_and_turns_round(served) -> None:
    """The first click sorts by the column, the second the other way; the column says so."""
    client = await served(*tasks())
    page = await read(client, "/")
    by_name = await read(client, page.link("Task"))
    assert by_name.rows[:3] == ["t0", "t1", "t10"]
    assert (await read(client, by_name.link("Task"))).rows[0] == "t9"
    assert [tag.text.strip() for tag in by_name.all("th", aria_sort="ascending")] == ["Task"]


async def test_columns_are_chosen(served) -> None:
    """By the form as by the address; links keep them."""
    client = await served(*tasks())
    page = await read(client, "/?column=id&column=attempt")
    assert [tag.text.strip() for tag in page.all("th")] == ["Id", "Attempt"]
    assert "columns=id%2Cattempt" in page.link("Running")


async def test_a_wrong_filter_is_pointed_at(served) -> None:
    """The page stays, with the filter as it was written, the wrong word marked, what was expected, and help."""
    page = await read(await served(*tasks()), f"/?filters={quote('state eq RUNNING and launcher eqq x')}", 400)
    assert page.with_id("filters").attributes["value"] == "state eq RUNNING and launcher eqq x"
    assert page.one("mark").text == "eqq"
    assert 'did you mean "eq"' in page.with_id("filter-error").text
    assert page.rows == []


@pytest.mark.parametrize(
    "path", ["/?sorters=nonsense", "/?columns=nonsense", "/?limit=1001", "/?over=nonsense", "/?after=nonsense", "/parked?number=x"]
)
async def test_what_an_address_can_not_say_is_told(served, path: str) -> None:
    """One sentence with what was expected, as a page with a way out."""
    page = await read(await served(*tasks()), path, 400)
    assert len(page.one("h1").text) > 5
    assert page.link("All tasks") == "/"


async def test_an_empty_store_says_what_to_do(served) -> None:
    """And a filter that nothing matches leads back to all tasks."""
    client = await served()
    assert "tracker emit created" in (await read(client, "/")).classed("empty")[0].text
    assert (await read(client, "/?filters=state eq RUNNING")).link("Show all tasks") == "/"


async def test_hostile_texts_are_text(served) -> None:
    """In names, ids, launchers, messages, attributes and what is asked for; of controls that turn text round a mark is shown."""
    said: dict[str, Any] = {"type": "ERROR", "key": HOSTILE, "localizedText": {"locale": "en", "message": HOSTILE + "x" * 60_000}}
    events = [
        event(HOSTILE, "created", uniqueName=HOSTILE, launcher=HOSTILE, description=HOSTILE, attributes={HOSTILE: [HOSTILE]}),
        event(HOSTILE, "messaged", **said),
    ]
    client = await served(*events)
    for path in ("/", "/?part=panels", "/?filters=" + quote('launcher co "<script>"'), f"/task?id={quote(HOSTILE)}"):
        page = await read(client, path)
        assert page.all("img") == []
        assert [tag for tag in page.all("script") if tag.text] == []
        shown = [tag.text for tag in page.all("bdi")]
        assert any(text.startswith("<script>alert(1)</script><img") for text in shown)
        assert [text for text in shown if "\u202e" in text or "7006652" in text] == []
    page = await read(client, f"/task?id={quote(HOSTILE)}")
    assert HOSTILE.replace("\u202e", "\ufffd") == page.one("h1").text
    assert max(len(tag.text) for tag in page.classed("text")) < 5_000


@pytest.mark.parametrize("id", ["..", ".", "a/b?c#d", "%2F", " ", "+", "é" * 200, "&id=x"])
async def test_any_id_has_a_page(served, id: str) -> None:
    """The list's link to it leads there."""
    client = await served(event(id, "created", uniqueName="the one"))
    page = await read(client, (await read(client, "/")).link("the one"))
    assert page.classed("mono")[0].text == id


async def test_times_stand_in_the_zone_that_the_address_names(served) -> None:
    """By its IANA name; links keep it; UTC where it is unknown."""
    client = await served(*tasks())
    for zone, shown in (
        ("Asia/Tokyo", "2026-01-01 09:00:00.000 JST"),
        ("", "2026-01-01 00:00:00.000 UTC"),
        ("No/Where", "2026-01-01 00:00:00.000 UTC"),
    ):
        page = await read(client, f"/task?id=t0&tz={zone}")
        assert shown in [tag.text for tag in page.all("time")]
    page = await read(client, "/?tz=Asia/Tokyo")
    assert "tz=Asia%2FTokyo" in page.link("Task 3")


async def test_a_task_says_why(served) -> None:
    """Each field with the source and id of the event that set it."""
    page = await read(await served(*tasks()), "/task?id=t3")
    rows = [tag.text for tag in page.all("tr")]
    assert any("completionStatus" in row and "/test" in row and "completed-2026-01-01T00:03:30Z" in row for row in rows)


async def test_a_task_has_its_attempts_and_kin(served) -> None:
    """Each attempt with how it ended, the parent and the children with their states."""
    client = await served(
        event("p", "created", uniqueName="Parent"),
        event("c", "created", uniqueName="Child", parentId="p"),
        event("c", "launched", "2026-01-01T00:00:10Z"),
        event("c", "completed", "2026-01-01T00:01:10Z", completionStatus="ERROR"),
        event("c", "launched", "2026-01-01T00:02:10Z", attempt=2),
        event("g", "created", uniqueName="Grandchild", parentId="c"),
    )
    page = await read(client, "/task?id=c")
    attempts = [tag.text for tag in page.all("tr")]
    assert any(re.fullmatch(r"\s*1Error10 s1 min 00 s\s.*", row) for row in attempts)
    assert any(re.match(r"\s*2Running1 min 00 s", row) for row in attempts)
    kin = page.classed("kin")[0].text
    assert [kin.index(name) for name in ("Parent", "Child", "Grandchild")] == sorted(
        kin.index(name) for name in ("Parent", "Child", "Grandchild")
    )
    assert (await read(client, page.link("Grandchild"))).one("h1").text == "Grandchild"


async def test_messages_are_filtered_by_type_and_paged(served) -> None:
    """The newest 100 first; "older" leads to the rest."""
    says = [
        event("t", "messaged", f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z", type=("INFO", "ERROR")[number % 2], key="k",
              localizedText={"locale": "en", "message": f"message {number}."})
        for number in range(130)
    ]  # fmt: skip
    client = await served(event("t", "created"), *says)
    page = await read(client, "/task?id=t")
    assert [tag.text for tag in page.classed("text")][:2] == ["message 129.", "message 128."]
    assert len((await read(client, page.link("Older messages"))).classed("text")) == 30
    assert len((await read(client, page.link("Error"))).classed("text")) == 65


async def test_a_deleted_task_and_none_are_told_apart(served) -> None:
    """Both are 404, in words of their own."""
    client = await served(event("gone", "created"), event("gone", "deleted"))
    assert (await read(client, "/task?id=gone", 404)).one("h1").text == "Deleted"
    assert (await read(client, "/task?id=never", 404)).one("h1").text == "No such task"


async def test_a_purged_task_is_said_to_be_purged(served, tmp_path: Path) -> None:
    """Not deleted: it says when it was purged, and how it had ended."""
    client = await served(event("old", "launched"), event("old", "completed", completionStatus="SUCCESS"))
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        purge(store, {"QUEUED_TASK": 1.0}, datetime(2100, 1, 1, tzinfo=UTC))
    page = await read(client, "/task?id=old", 404)
    assert page.one("h1").text == "Purged"
    assert "attempt 1 had ended with SUCCESS" in page.one("main").text


async def test_durations_are_never_negative(served) -> None:
    """Where a task ended before it was launched, by its events' clocks."""
    client = await served(
        event("t", "created"), event("t", "launched", "2026-01-01T00:10:00Z"), event("t", "completed", completionStatus="SUCCESS")
    )
    page = await read(client, "/")
    assert [tag.text for tag in page.classed("c-duration")][1] == "0.0 s"


async def test_files_are_kept_for_a_year_and_small(served) -> None:
    """Under the name that pages have for them; all of them together are under 100 kB as they are sent."""
    client = await served()
    answer = await client.get(f"/static/{assets()[0]}/style.css")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert (await client.get("/static/older/style.css")).headers["cache-control"] == "no-cache"
    assert (await client.get(f"/static/{assets()[0]}/../page.js")).status_code == 404
    assert sum(len(asset.compressed) for asset in assets()[1].values()) < 100_000


async def test_links_have_the_prefix_of_a_proxy(served) -> None:
    """Every one that leads anywhere on this server, and every form."""
    client = await served(*tasks(), root_path="/tracker")
    for path in ("/tracker/?panels=on", "/tracker/task?id=t1", "/tracker/system"):
        page = await read(client, path)
        places = [tag.attributes[name] for tag in page.tags for name in ("href", "src", "action") if name in tag.attributes]
        assert [place for place in places if not place.startswith(("/tracker/", "#"))] == []


async def test_a_theme_is_kept_in_a_cookie(served) -> None:
    """Without scripts too: the switch is a link that comes back."""
    client = await served()
    answer = await client.get("/look?theme=dark&back=/system")
    assert (answer.status_code, answer.headers["location"]) == (303, "/system")
    assert Page((await client.get("/")).text).one("html").attributes["data-theme"] == "dark"
    for place in ("//evil.example", "https://evil.example", "/\\evil.example", "x"):
        assert (await client.get("/look", params={"theme": "dark", "back": place})).headers["location"] == "/"


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ({}, "in a state that this release does not know"),
        ({"state": "different", "sources": ["events.jsonl"], "tasks": 9, "different": 2, "notedAt": "2026-01-01T00:00:00Z"}, "2 different"),
        ({"state": "building", "sources": ["<b>"], "done": 1, "total": 4, "notedAt": "2026-01-01T00:00:00Z"}, "25%"),
    ],
)
async def test_the_last_rebuild_is_told(served, tmp_path: Path, note: dict[str, Any], said: str) -> None:
    """As it has noted it in the store, by whatever release."""
    client = await served(*tasks())
    assert "Last rebuild" not in (await client.get("/system")).text
    with closing(sqlite3.connect(tmp_path / "status.db")) as connection, connection:
        connection.execute("INSERT INTO meta VALUES ('rebuild', ?)", (json.dumps(note),))
    text = (await client.get("/system")).text
    assert "Last rebuild" in text
    assert said in text
    assert "<b></bdi>" not in text


async def test_who_holds_a_partition_is_told(served, tmp_path: Path) -> None:
    """The worker's name and since when; nothing where nobody has said."""
    client = await served(*tasks())
    with open_store(f"sqlite:///{tmp_path}/status.db") as store:
        store.claim([Position("t", 0, 0)])
        assert "worker-7" not in (await client.get("/system")).text
        store.claim([Position("t", 0, 0)], "worker-7")
        since = store.partitions()[0].claimed_at
    assert since is not None
    text = (await client.get("/system")).text
    assert "worker-7" in text
    assert f'datetime="{since}"' in text
