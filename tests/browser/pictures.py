"""``python -m tests.browser.pictures FOLDER``: pictures of all pages in both themes, of made-up tasks, as the documentation shows them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.browser.product import Product, ago, night
from tracker.emit.base import Outgoing
from tracker.testing import events
from tracker.testing.simulate import Simulation, history

CHROMIUM = "/usr/bin/chromium"
SEED = 20
RUNNING_S = 60
COLOURS = 256
"""Of a picture: pages have few, and so a picture of them is 30 to 110 kB."""
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PAGES = {
    "tasks": ("/", WIDE),
    "task": ("/task?id=night-1", {"width": 1280, "height": 1000}),
    "system": ("/system", WIDE),
    "tasks-narrow": ("/", NARROW),
}


def main(folder: Path) -> None:
    """Write the pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tracker-pictures-") as place:
        product = Product(Path(place))
        (Path(place) / "events.jsonl").write_bytes(
            b'{"specversion":"1.0"}\nnot json\n[]\n{"id":""}\n' + b"".join(event.value + b"\n" for event in _told())
        )
        product.write(
            *night(), events.messaged("night-1", "Page 33 has 2 accounts without an owner", time=ago(1500), attempt=2, type="WARN")
        )
        product.start()
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                for theme in ("light", "dark"):
                    for name, (path, size) in PAGES.items():
                        _take(browser, product.url + path, folder / f"{name}-{theme}.png", theme, size)
                browser.close()
        finally:
            product.stop()


def _told() -> Iterator[Outgoing]:
    """Two hours of finished tasks, and the last minute of some that run now."""
    begin = datetime.now(UTC) - timedelta(seconds=RUNNING_S)
    yield from history(SEED, 3_000, begin)
    running = Simulation(SEED + 1)
    for step in range(RUNNING_S * 3):
        yield from running.step(begin + timedelta(seconds=step / 3))


def _take(browser: Browser, url: str, path: Path, theme: str, size: dict[str, int]) -> None:
    page = browser.new_page(viewport=size, color_scheme=theme)  # type: ignore[arg-type]
    page.goto(url)
    page.wait_for_load_state()
    if page.locator("#panels-facets").count():
        page.locator("#panels-facets .facets-box").wait_for()
    if page.locator("#system").count():
        page.wait_for_timeout(11_000)  # two looks: before there is no throughput to be drawn
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
