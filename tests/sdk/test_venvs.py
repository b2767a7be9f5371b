"""The venvs of other people's programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import venvs


def test_without_an_index_it_is_said_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half-made venv passes for a whole one: the next try begins anew."""
    monkeypatch.setattr(venvs, "VENVS", tmp_path)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(venvs.NotInstalled, match="sailpoint"):
        venvs.installed("sailpoint-2.1.72")
    assert not list(tmp_path.glob("*/ready"))


def test_every_pin_is_exact() -> None:
    """Plain lists: names and versions, nothing else."""
    for pins in venvs.REQUIREMENTS.glob("*.txt"):
        lines = [line for line in pins.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert lines
        assert all(line.count("==") == 1 and line.split("==")[1][0].isdigit() for line in lines)
