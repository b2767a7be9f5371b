"""The file that a report is: whole in itself, the same for the same numbers, and text whatever a task's texts hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.unit.query_store import commit, event
from tracker.analytics.report import Findings, findings, page
from tracker.analytics.report.drawing import _moments
from tracker.query.memory import MemorySnapshot
from tracker.stores.memory import MemoryStore

pytest.importorskip("matplotlib", reason="the extra report is not installed")
pytestmark = pytest.mark.filterwarnings("error")
NOW = datetime(2026, 1, 20, tzinfo=UTC)
HOSTILE = (
    '<script>alert(1)</script><img src=x onerror="alert(2)">',
    "</style><link rel=stylesheet href=//evil.example/x.css>",
    "]]><!-- $x_2$ \\frac & #000001 var(--ink) -->",
    "\u202eevil\x1b[31m\x00 \ufffe \uffff",
    "日本語 مرحبا \U0001f680",
    "",
    "x" * 5_000,
)
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Which elements a page has, with which attributes, and its text; that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One that begins."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One of a picture that is closed at once."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """The one that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text outside of the style."""
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All of it, with single spaces."""
        return " ".join(" ".join(self.texts).split())


def found(*events: Any, **more: Any) -> Findings:
    """What is to be told of a store with these events."""
    store = MemoryStore()
    commit(store, events)
    store.name = "a-store"
    return findings(**{"now": NOW} | more)(MemorySnapshot(store))


def hostile() -> Iterator[Any]:
    """Tasks whose every text would do harm if it were anything but text."""
    for number, text in enumerate(HOSTILE):
        id = f"t{number}" + text.replace("\x00", "").replace("\x1b", "")[:200]
        yield event(id, "created", "2026-01-01T00:00:00Z", launcher=text, uniqueName=text, description=text)
        yield event(id, "launched", f"2026-01-01T00:00:{number:02d}Z")
        said = {"locale": text, "message": text}
        yield event(id, "messaged", "2026-01-01T00:01:00Z", type="ERROR", key=text, localizedText=said)
        yield event(id, "completed", "2026-01-01T00:02:00Z", completionStatus="ERROR")
        yield event("runs " + id, "launched", "2026-01-01T00:00:00Z")
        yield event("runs " + id, "updated", "2026-01-01T00:00:00Z", launcher=text, uniqueName=text)


def told(*events: Any, **more: Any) -> str:
    """The file."""
    return page(found(*events, **more), store="sqlite:///status.db")


def test_texts_are_text() -> None:
    """Whatever names, keys, messages, the title and the filter hold: no element and no attribute comes of it, and all of it is shown."""
    text = page(found(*hostile(), filters='launcher ne "<script>"'), store=HOSTILE[0], title=HOSTILE[1])
    shown = Page(text)
    tags = {tag for tag, _ in shown.elements}
    assert not tags & {"script", "img", "link", "a", "iframe", "object", "embed", "base", "form", "image"}
    assert [tag for tag, _ in shown.elements].count("style") == 1
    assert not {name for _, attributes in shown.elements for name in attributes if name.startswith("on") or name in ("src", "srcset")}
    assert shown.text.count('<script>alert(1)</script><img src=x onerror="alert(2)">') >= 5
    assert "$x_2$ \\frac & #000001 var(--ink)" in shown.text
    assert "日本語" in shown.text
    assert "\u202e" not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]", text)
    assert "x" * 301 not in text


def test_nothing_is_loaded() -> None:
    """No address stands in it that a browser would ask, its policy forbids all but its own style, and pictures refer to themselves."""
    text = told(*hostile())
    shown = Page(text)
    for _, attributes in shown.elements:
        assert all(value.startswith("#") for name, value in attributes.items() if name.endswith("href"))
        assert not any("//" in value or "url(" in value.replace("url(#", "") for name, value in attributes.items() if name != "aria-label")
    [style] = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert not re.search(r"url\(|@import|//|image-set", style)
    policy = next(attributes["content"] for tag, attributes in shown.elements if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_pictures_are_of_the_page() -> None:
    """Text in them is text in no font of its own, colours are the page's, no id comes twice, and each is there for both kinds of page."""
    shown = Page(told(*hostile()))
    pictures = [attributes for tag, attributes in shown.elements if tag == "svg" and "aria-label" in attributes]
    assert Counter(attributes["class"] for attributes in pictures) == {"wide": 4, "narrow": 4}
    assert all(attributes["viewbox"] for attributes in pictures)
    ids = Counter(attributes["id"] for _, attributes in shown.elements if "id" in attributes)
    assert not [id for id, count in ids.items() if count > 1]
    referred = {value.strip("#") for _, attributes in shown.elements for name, value in attributes.items() if name.endswith("href")}
    assert referred <= set(ids)
    styles = "; ".join(attributes["style"] for _, attributes in shown.elements if "style" in attributes)
    assert "font-family" not in styles
    assert not re.search("#[0-9a-f]{6}", styles)
    assert {"text"} <= {tag for tag, _ in shown.elements}


def test_equal_numbers_give_equal_bytes() -> None:
    """In another process too, whatever its time zone, language, hash seed, place of configuration and working folder."""
    text = told(*hostile())
    assert told(*hostile()) == text
    code = "import sys; from tests.analytics.test_report_page import hostile, told; sys.stdout.buffer.write(told(*hostile()).encode())"
    root = Path(__file__).resolve().parents[2]
    settings = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C", "MPLBACKEND": "pdf", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env={**os.environ, **settings}, capture_output=True, timeout=60, check=True
    )
    assert done.stdout.decode() == text


def test_what_is_configured_for_matplotlib_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does drawing a report change what others draw in the same process."""
    import matplotlib as mpl

    text = told(*hostile())
    monkeypatch.setitem(mpl.rcParams, "font.size", 30.0)
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "red")
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "path")
    assert told(*hostile()) == text
    assert (mpl.rcParams["font.size"], mpl.rcParams["svg.fonttype"]) == (30.0, "path")


def test_numbers_stand_in_the_page() -> None:
    """The revision, how many tasks were looked at, outcomes, percentiles, the negative and the missing."""
    events = []
    for number in range(1_200):
        id = f"t{number}"
        events.append(event(id, "created", "2026-01-01T00:00:00Z"))
        if number < 1_100:
            events.append(event(id, "launched", "2026-01-01T00:00:10Z"))
        if number < 1_000:
            ended = "2026-01-01T00:00:09Z" if number < 3 else "2026-01-01T00:01:40Z"
            events.append(event(id, "completed", ended, completionStatus="SUCCESS"))
    shown = Page(told(*events)).text
    assert "1,200 tasks Store sqlite:///status.db Revision 1 Newest event none Asked at 2026-01-20 00:00:00" in shown
    assert "Success 1,000 83.3 % ended well" in shown
    assert "Running 100 8.3 %" in shown
    assert "QUEUED_TASK 997 1 min 30 s" in shown
    assert "997 of 1,200 tasks are measured; not measured: 100 not launched yet, 100 running." in shown
    assert "3 tasks have a duration below zero" in shown
    assert "Percentiles are by nearest rank" in shown
    assert "100 tasks run. 100 have been silent for more than 10 minutes, 100 for more than an hour, 100 for more than a day." in shown
    assert "tracker histogram --over created --bucket 1s --by completionStatus" in shown


def test_an_empty_store_has_a_page() -> None:
    """Which says so, and has no picture."""
    shown = Page(told())
    assert "0 tasks" in shown.text
    assert "No task matches." in shown.text
    assert not [tag for tag, attributes in shown.elements if tag == "svg" and "aria-label" in attributes]


@pytest.mark.parametrize("over", ["created", "modified", "launched", "completed"])
@pytest.mark.parametrize("status", [None, "SUCCESS", "TEMPERROR"])
def test_one_task_has_a_page(over: str, status: str | None) -> None:
    """One that waits, and one that took no time at all; whatever the picture is over."""
    events = [event("t", "created")]
    if status:
        events += [event("t", "launched"), event("t", "completed", completionStatus=status)]
    shown = Page(told(*events, over=over)).text
    assert "1 task " in shown
    if status is None and over in ("launched", "completed"):
        assert f"None of the tasks was {over}." in shown


def test_the_first_and_the_last_year_have_a_page() -> None:
    """Axes end where time does."""
    events = [event("a", "created", "0001-01-01T00:00:00Z"), event("a", "launched", "0001-01-01T00:00:00Z")]
    events.append(event("a", "completed", "9999-12-31T23:59:59.999999Z", completionStatus="SUCCESS"))
    events.append(event("b", "created", "9999-12-31T23:59:59.999999Z"))
    shown = Page(told(*events)).text
    assert "3,652,059 d 00 h" in shown
    assert "0001-01-01" in shown


WIDTHS = {
    "1s": "2026-01-01T05:10:00Z",
    "15s": "2026-01-01T06:00:00Z",
    "1m": "2026-01-01T06:59:00Z",
    "1h": "2026-01-05",
    "12h": "2026-01-31",
    "1d": "2026-03-15",
    "7d": "2026-12-01",
    "365d": "2051-01-01",
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("marks", [3, 9])
def test_marks_of_time_stand_where_they_say(width: str, marks: int) -> None:
    """Each mark of the first picture stands at the moment that it tells, in the picture, and they are no more than there is room for."""
    histogram = found(
        event("a", "created", "2026-01-01T05:03:07Z"), bucket=width, since="2026-01-01T05:03:07Z", until=WIDTHS[width]
    ).histogram
    first = datetime.fromisoformat(histogram.buckets[0].start)
    length = timedelta(seconds=int(width[:-1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[width[-1]])
    told = list(_moments(histogram, marks))
    assert 1 <= len(told) <= marks
    for at, lines in told:
        moment = first + at * length
        assert 0 <= at <= len(histogram.buckets)
        assert set(lines) <= {f"{moment:%Y-%m-%d}", f"{moment:%H:%M}", f"{moment:%H:%M:%S}"}
    assert re.match("[0-9]{4}-", told[0][1][-1])


def test_base_needs_no_extra() -> None:
    """Findings are made without Matplotlib and Jinja2; only the page loads them."""
    code = "import sys, tracker.analytics.report; sys.exit(any(name in sys.modules for name in ('matplotlib', 'jinja2', 'numpy')))"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
