"""The list of tasks in a real browser: it keeps itself new, and does not move under the cursor."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tracker.testing import events

from .product import ago

if TYPE_CHECKING:
    from .conftest import Open
    from .product import Product

expect = pytest.importorskip("playwright.sync_api", reason="the extra browser is not installed").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(180)]


def ids(page) -> list[str]:
    """The rows' ids, from the top."""
    found: list[str] = page.locator("tr[data-id]").evaluate_all("rows => rows.map(row => row.dataset.id)")
    return found


def live(page) -> None:
    """Wait until the stream is open."""
    expect(page.locator("#live")).to_contain_text("live")
    expect(page.locator("#panels-facets .facets-box")).to_be_visible()


def test_a_row_changes_where_it_stands(open_page: Open, product: Product) -> None:
    """Its progress is shown, no row moves, and the pill says how many changed."""
    page = open_page("/")
    live(page)
    before = ids(page)
    product.write(events.progressed("night-2", time=ago(0), percent_complete=42, progress="Half of it"))
    expect(page.locator('tr[data-id="night-2"]')).to_contain_text("42 %")
    assert ids(page) == before
    expect(page.locator("#pill")).to_have_text("1 changed")
    page.locator("#pill").click()
    expect(page.locator("tr[data-id]").first).to_have_attribute("data-id", "night-2")
    expect(page.locator("#pill")).to_be_hidden()


def test_a_new_task_waits_behind_the_pill(open_page: Open, product: Product) -> None:
    """Counts are new at once, with the revision beside them; the row comes when it is asked for, by a key too."""
    page = open_page("/")
    live(page)
    before, revision = ids(page), page.locator("[data-revision]").inner_text()
    pending = page.locator('[data-count="PENDING"]')
    count = int(pending.inner_text())
    product.write(events.created("new", time=ago(0), unique_name="A new one"))
    expect(pending).to_have_text(str(count + 1))
    expect(page.locator("[data-revision]")).not_to_have_text(revision)
    assert ids(page) == before
    page.keyboard.press("r")
    expect(page.locator("tr[data-id]").first).to_contain_text("A new one")


def test_what_matches_no_more_stays_where_it_is(open_page: Open, product: Product) -> None:
    """Marked as such, and as deleted, until the list is shown anew."""
    page = open_page('/?filters=state eq "RUNNING"')
    live(page)
    before = ids(page)
    product.write(events.completed("night-2", time=ago(0), completion_status="SUCCESS"), events.deleted("night-3", time=ago(0)))
    expect(page.locator('tr[data-id="night-2"]')).to_contain_text("matches no more")
    expect(page.locator('tr[data-id="night-3"]')).to_contain_text("deleted")
    assert ids(page) == before
    page.keyboard.press("r")
    expect(page.locator('tr[data-id="night-2"]')).to_have_count(0)


def test_a_pause_holds_everything(open_page: Open, product: Product) -> None:
    """Rows and counts, while the pill counts on; it stands in the address; going on shows what came."""
    page = open_page("/")
    live(page)
    page.locator("#pause").click()
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    assert "live=off" in page.url
    product.write(events.progressed("night-2", time=ago(0), percent_complete=43))
    expect(page.locator("#pill")).to_have_text("1 changed")
    expect(page.locator('tr[data-id="night-2"]')).not_to_contain_text("43 %")
    page.keyboard.press("p")
    expect(page.locator('tr[data-id="night-2"]')).to_contain_text("43 %")
    assert "live=off" not in page.url


def test_a_server_that_is_away_comes_back(open_page: Open, product: Product) -> None:
    """The page says that it is offline, and goes on by itself with what changed meanwhile."""
    page = open_page("/")
    live(page)
    page.expected = ("net::ERR_", "Failed to load resource", "503")
    product.stop()
    expect(page.locator("#notice")).to_contain_text("Offline")
    expect(page.locator("#live")).to_contain_text("offline")
    product.write(events.progressed("night-2", time=ago(0), percent_complete=44))
    product.start()
    expect(page.locator('tr[data-id="night-2"]')).to_contain_text("44 %", timeout=30_000)
    expect(page.locator("#notice")).to_be_hidden()


def test_filters_by_text_chip_facet_and_brush(open_page: Open) -> None:
    """Each narrows the list, and all stand in one text and one address."""
    page = open_page("/")
    live(page)
    page.keyboard.press("/")
    page.keyboard.type('launcher eq "sweep"')
    page.keyboard.press("Enter")
    expect(page.locator("#total")).to_contain_text("120 tasks match")
    page.locator(".chip", has_text="Terminated").click()
    expect(page.locator("#total")).to_contain_text("30 tasks match")
    assert page.locator("#filters").input_value() == 'launcher eq "sweep" and completionStatus eq "TERMINATED"'
    expect(page.locator(".plot a").first).to_be_attached()
    box = page.locator(".plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("completed\\+(ge|lt)"))
    narrowed = int(page.locator("#total strong").inner_text())
    assert 0 < narrowed < 30
    page.go_back()
    expect(page.locator("#total")).to_contain_text("30 tasks match")
    live(page)
    page.locator("#panels-facets a", has_text="sweep").first.click()  # it is on: it goes
    expect(page.locator("#filters")).to_have_value('completionStatus eq "TERMINATED"')


def test_a_wrong_filter_is_pointed_at(open_page: Open) -> None:
    """Under its place, with what was expected."""
    page = open_page("/")
    page.expected = ("400",)
    page.locator("#filters").fill("state eqq RUNNING")
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_have_text("eqq")
    expect(page.locator("#filter-error")).to_contain_text("expected an operator")
    expect(page.locator("#filters")).to_have_value("state eqq RUNNING")


def test_pages_of_the_list(open_page: Open) -> None:
    """Forward by links to the end, and back to the first."""
    page = open_page("/")
    seen = ids(page)
    while page.locator("a[rel=next]").count():
        page.locator("a[rel=next]").click()
        page.wait_for_load_state()
        seen += ids(page)
    assert len(seen) == len(set(seen)) == int(page.locator("#total strong").inner_text())
    page.locator("a[rel=first]").click()
    page.wait_for_load_state()
    assert ids(page) == seen[:50]


def test_the_keyboard(open_page: Open) -> None:
    """J and k go from task to task, Enter opens one, ? tells of them all."""
    page = open_page("/?sorters=id")
    live(page)
    first, second = ids(page)[:2]
    page.keyboard.press("?")
    expect(page.locator("dialog#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog#keys")).to_be_hidden()
    for key, id in (("j", first), ("j", second), ("k", first)):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.closest('tr').dataset.id") == id
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/task\?id="))


def test_columns_are_chosen(open_page: Open) -> None:
    """From the menu; the address has them."""
    page = open_page("/")
    page.locator("summary", has_text="Columns").click()
    page.get_by_role("checkbox", name="Attempt").check()
    page.get_by_role("checkbox", name="Launcher").uncheck()
    page.locator("button", has_text="Show these").click()
    expect(page.locator("th", has_text="Attempt")).to_be_visible()
    expect(page.locator("th", has_text="Launcher")).to_have_count(0)


def test_durations_tick(open_page: Open) -> None:
    """Of what runs, each second, and never below nothing."""
    page = open_page('/?filters=state eq "RUNNING"')
    cell = page.locator('tr[data-id="hostile"] [data-since]')
    before = cell.inner_text()
    expect(cell).not_to_have_text(before)
    page.evaluate("document.querySelector('[data-since]').dataset.since = '2999-01-01T00:00:00Z'")
    expect(page.locator("[data-since]").first).to_have_text("0.0 s")


def test_times_in_the_browsers_zone(open_page: Open) -> None:
    """One click, and the address names the zone."""
    page = open_page("/", timezone_id="Asia/Tokyo")
    page.locator("[data-local-zone]").click()
    page.wait_for_url(re.compile("tz=Asia%2FTokyo"))
    assert "JST" in (page.locator("time").first.get_attribute("title") or "")
