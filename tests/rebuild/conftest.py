"""One log, and the live store that has read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rebuild.logs import live_in, log_in


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of 60 tasks."""
    return log_in(tmp_path)


@pytest.fixture
def live(tmp_path: Path, log: Path) -> Path:
    """The store that has read it."""
    assert log.exists()
    return live_in(tmp_path)
