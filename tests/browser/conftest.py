"""A real browser in front of the whole product; what it logs as an error fails the test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .product import Product, story

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
INSTALL_S = 300


@pytest.fixture(scope="module")  # while Playwright runs, nobody else can have an event loop in this thread
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


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """The product with the story in its log."""
    (tmp_path / "events.jsonl").write_bytes(b"{\nnot json <b>\n[]\n\xff\n")
    made = Product(tmp_path)
    made.write(*story())
    made.start()
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
