"""A real browser in front of the whole product; what it logs as an error fails the test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.whole import whole
from tracker.model.events import CloudEvent
from tracker.testing import events

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
INSTALL_S = 300
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202eevil \U0001f680 \u0645\u0631\u062d\u0628\u0627'
NAMES = ("Read HR Employees", "Read Active Directory", "Read SAP Finance", "Read Workday")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, installed where that is possible."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            pytest.skip(f"there is no {CHROMIUM}, and it can't be installed here: that needs root and apt")
        try:
            done = subprocess.run(["apt-get", "install", "-y", "chromium"], capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"chromium was not installed within {INSTALL_S} s")
        if done.returncode:
            pytest.skip(f"chromium can't be installed: {done.stderr.strip().splitlines()[-1:]}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Product:
    """A log, a projector and a server; the server's process-wide parts can be stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, ExitStack()
        self.url = ""
        self.write(*story())
        self.start()

    def start(self) -> None:
        """Answer, at the address of before."""
        self._stack = ExitStack()
        self.url = self._stack.enter_context(whole(self._folder, self.url.partition("://")[2] or "127.0.0.1:0"))

    def stop(self) -> None:
        """Answer no more."""
        self._stack.close()

    def write(self, *made: CloudEvent) -> None:
        """Add events to the log."""
        with (self._folder / "events.jsonl").open("ab") as log:
            log.write(b"".join(event.to_json() + b"\n" for event in made))


def ago(seconds: float) -> datetime:
    """So many seconds before now."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


def story() -> Iterator[CloudEvent]:
    """Tasks in every outcome, some of kin, one retried, one hostile, enough for three pages; and four lines that are parked."""
    yield events.created("night", time=ago(4000), unique_name="Nightly reconciliation", launcher="scheduler")
    yield events.launched("night", time=ago(3990))
    for number, name in enumerate(NAMES):
        id = f"night-{number}"
        target = {"id": f"src-{number}", "type": "APPLICATION", "name": name[5:]}
        more = {"worker": f"w-{number}", "batch": {"pages": [1, 2, 3], "full": True}}
        yield events.created(id, time=ago(3900), unique_name=name, launcher="scheduler", parent_id="night", target=target, attributes=more)
        yield events.launched(id, time=ago(3800))
    yield events.messaged("night-1", "Connection refused", time=ago(3500), type="ERROR", key="refused")
    yield events.completed("night-1", time=ago(3400), completion_status="ERROR")
    yield events.launched("night-1", time=ago(3000), attempt=2)
    yield events.progressed("night-1", time=ago(20), attempt=2, progress="Read 9,811 of 12,841 accounts", percent_complete=76)
    yield events.completed("night-0", time=ago(3000), completion_status="SUCCESS")
    yield events.created(
        "hostile",
        time=ago(900),
        unique_name=HOSTILE,
        launcher=HOSTILE,
        description=HOSTILE,
        attributes={HOSTILE: HOSTILE, "big": "x" * 60_000},
    )
    yield events.launched("hostile", time=ago(890))
    yield events.messaged("hostile", HOSTILE + "long text " * 6_000, time=ago(880), type="ERROR", key="k")
    for number in range(120):
        id = f"task-{number:03}"
        yield events.created(id, time=ago(8000 - number), unique_name=f"Identity refresh {number}", launcher="sweep")
        yield events.launched(id, time=ago(7900 - number))
        yield events.completed(
            id, time=ago(7800 - 20 * number), completion_status=("SUCCESS", "SUCCESS", "WARNING", "TERMINATED")[number % 4]
        )


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """The product with the story in its log."""
    (tmp_path / "events.jsonl").write_bytes(b"{\nnot json <b>\n[]\n\xff\n")
    made = Product(tmp_path)
    try:
        yield made
    finally:
        made.stop()


Open = Callable[..., Any]
"""``page = open_page(path, **options of a browser's context)``"""


@pytest.fixture
def open_page(chromium: Browser, product: Product) -> Iterator[Open]:
    """Opens pages, each in a context of its own. Errors that they log, and dialogs, fail the test, but those that ``page.expected`` has."""
    contexts, said = [], list[tuple[Any, str]]()

    def start(path: str = "/", **options: Any) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, "base_url": product.url} | options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.expected = ()  # type: ignore[attr-defined]
        page.on("console", lambda message: said.append((page, message.text)) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append((page, str(error))))
        page.on("dialog", lambda dialog: said.append((page, f"dialog: {dialog.message}")))
        page.goto(path)
        return page

    yield start
    wrong = [text for page, text in said if not any(part in text for part in page.expected)]
    for context in contexts:
        context.close()
    assert wrong == []
