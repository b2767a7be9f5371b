"""Every page in a real browser: both themes, narrow and wide, without scripts, with hostile texts, for who sees or hears little."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tracker.testing import events
from tracker.web.access import ALL, Access, Client, _digest

from .product import HOSTILE, Product, ago

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from .conftest import Open

expect = pytest.importorskip("playwright.sync_api", reason="the extra browser is not installed").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(180)]
PAGES = {
    "tasks": "/?panels=on",
    "none": '/?filters=id eq "none"',
    "wrong": "/?filters=state eqq x",
    "task": "/task?id=night-1",
    "hostile": "/task?id=hostile",
    "system": "/system",
    "parked": "/parked?number=2",
    "missing": "/task?id=missing",
    "login": "/login",
}


def findings(page: Any) -> list[str]:
    """What axe finds that is serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found if each["impact"] in ("serious", "critical") for node in each["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible(open_page: Open, name: str, theme: Any) -> None:
    """Axe has no serious finding, wide or narrow, and nothing sticks out of a narrow screen."""
    page = open_page(PAGES[name], color_scheme=theme, bypass_csp=True)
    page.expected = ("400", "404")
    page.locator("main").wait_for()
    assert findings(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert findings(page) == []


def test_the_theme_follows_the_system_until_one_is_chosen(open_page: Open) -> None:
    """A choice counts at once, is kept, and the next page is drawn in it from the beginning."""
    page = open_page("/", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.locator('[data-theme-choice="light"]').click()
    light = page.evaluate(ground)
    assert light != dark
    page.goto("/system")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate(ground) == light


def test_hostile_texts_are_text(open_page: Open) -> None:
    """Wherever they stand: nothing of them runs, loads or turns the page round."""
    shown = HOSTILE.replace("\u202e", "\ufffd")
    for path in ("/?panels=on", "/task?id=hostile", '/?filters=uniqueName co "<script>"'):
        page = open_page(path)
        expect(page.locator("bdi", has_text="<script>alert(1)</script>").first).to_be_visible()
        assert page.locator("main img, main script").count() == 0
    page = open_page("/task?id=hostile")
    expect(page.locator("h1")).to_have_text(shown)
    more = page.locator(".messages details")
    more.locator("summary").click()
    expect(more.locator("pre")).to_contain_text("long text long text")
    assert page.locator("pre.text").evaluate("each => each.textContent.length") < 5_000


def test_a_task_keeps_itself_new(open_page: Open, product: Product) -> None:
    """Progress, messages and the end come by themselves; what was opened stays open."""
    page = open_page("/task?id=night-1")
    expect(page.locator("#live")).to_contain_text("live")
    page.locator("#raw summary").click()
    product.write(
        events.progressed("night-1", time=ago(0), attempt=2, percent_complete=91),
        events.messaged("night-1", "Nearly there", time=ago(0), attempt=2),
    )
    expect(page.locator("#part-head")).to_contain_text("91 %")
    expect(page.locator(".messages li").first).to_contain_text("Nearly there")
    expect(page.locator("#raw pre")).to_be_visible()
    product.write(events.completed("night-1", time=ago(0), attempt=2, completion_status="SUCCESS"))
    expect(page.locator(".title .outcome")).to_have_text("Success")
    product.write(events.deleted("night-1", time=ago(0)))
    page.expected = ("404",)
    expect(page.locator("#notice")).to_contain_text("deleted")


def test_a_correction(open_page: Open) -> None:
    """Nothing is sent before it is confirmed; then the task has ended as was said, because of that event."""
    page = open_page("/task?id=night-1")
    page.locator("select").select_option("ERROR")
    page.locator("button", has_text="Write the correction").click()
    assert "corrected" not in page.url
    page.locator("input[name=sure]").check()
    page.locator("button", has_text="Write the correction").click()
    page.wait_for_url(re.compile("corrected=yes"))
    expect(page.locator(".title .outcome")).to_have_text("Error")
    expect(page.locator(".why tr", has_text="completionStatus")).to_contain_text("/tracker/api/local")


def test_without_scripts(open_page: Open) -> None:
    """List, filter, chips, facets, histogram, paging, one task and the correction work; nothing that needs scripts is shown."""
    page = open_page("/", java_script_enabled=False)
    expect(page.locator("#pause")).to_be_hidden()
    page.locator("#filters").fill('launcher eq "sweep"')
    page.locator("button", has_text="Filter").click()
    expect(page.locator("#total")).to_contain_text("120 tasks match")
    page.locator("a", has_text="Show facets and histogram").click()
    expect(page.locator(".facets-box")).to_be_visible()
    page.locator(".plot a:not([tabindex])").first.click()
    expect(page.locator("#filters")).to_have_value(re.compile("completed ge .* and completed lt"))
    page.goto("/")
    page.locator("a[rel=next]").click()
    expect(page.locator("a[rel=first]")).to_be_visible()
    page.goto('/?filters=id eq "night-1"')
    page.locator("tr[data-id] .open").click()
    page.locator("input[name=sure]").check()
    page.locator("button", has_text="Write the correction").click()
    expect(page.locator(".title .outcome")).to_have_text("Success")
    page.locator('[aria-label="Dark theme"]').click()
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_copying(open_page: Open) -> None:
    """The command line is in the clipboard."""
    page = open_page("/task?id=night-1", permissions=["clipboard-read", "clipboard-write"])
    page.locator('[data-copy="copy-cli"]').click()
    expect(page.locator('[data-copy="copy-cli"]')).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "tracker get night-1"


def test_the_system(open_page: Open, product: Product) -> None:
    """Counters come by themselves and add up; a parked record is retried from its page."""
    page = open_page("/system")
    expect(page.locator("#part-sums")).to_contain_text("adds up")
    before = page.locator("#part-sums b").first.inner_text()
    product.write(events.created("one-more", time=ago(0)))
    expect(page.locator("#part-sums b").first).not_to_have_text(before, timeout=15_000)
    page.locator("a", has_text="Raw").first.click()
    expect(page.locator(".raw").first).to_contain_text("{")
    page.locator("button", has_text="Try it again").click()
    expect(page.locator(".done")).to_contain_text("refused as before")


def test_a_login(chromium: Browser, tmp_path: Path) -> None:
    """The browser is sent to the login and back; pages, stream and forms go by the cookie, and no more after the logout."""
    product = Product(tmp_path, Access(tokens={_digest("a-token-that-may-all"): Client("operator", ALL)}))
    product.start()
    page = chromium.new_page()
    try:
        page.goto(f"{product.url}/task?id=task-1")
        page.locator("input[name=token]").fill("a-token-that-may-all")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"/task\?id=task-1"))
        expect(page.locator("#live")).to_contain_text("live")
        page.locator("input[name=sure]").check()
        page.locator("button", has_text="Write the correction").click()
        expect(page.locator(".why tr", has_text="completionStatus")).to_contain_text("/tracker/api/operator")
        page.locator("button", has_text="Log out").click()
        page.goto(f"{product.url}/system")
        expect(page.locator("input[name=token]")).to_be_visible()
    finally:
        page.close()
        product.stop()
