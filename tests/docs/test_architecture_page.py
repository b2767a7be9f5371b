"""The architecture page names files and folders; they must be there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tracker|tests|bench|docs|schemas)/[\w./-]*)`", PAGE)))


@pytest.mark.parametrize("name", NAMED)
def test_named_places_exist(name: str) -> None:
    """Every file or folder that the page names exists (of the package: where it is installed)."""
    import tracker

    base = Path(tracker.__file__).parents[1] if name.startswith("tracker/") else ROOT
    assert (base / name).exists()


def test_every_room_is_shown() -> None:
    """Every package under tracker/ is named on the page."""
    import tracker

    rooms = [each.name for each in Path(tracker.__file__).parent.iterdir() if (each / "__init__.py").exists()]
    missing = [room for room in rooms if f"`tracker/{room}/" not in PAGE]

    assert missing == []
