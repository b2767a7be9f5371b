"""How machine code comes to be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tracker.analytics import compiled
from tracker.analytics.compiled import making
from tracker.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FOUND = (
    "from tracker.analytics.compiled.__main__ import gather, sheet\n"
    "from tracker.analytics.compiled.states import put_rows\n"
    "print([(sum(each.stats.cache_hits.values()), sum(each.stats.cache_misses.values())) for each in (put_rows, gather)])"
)


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no machine code yet, and where the process that makes it is killed."""
    monkeypatch.setattr(making, "kept_in", lambda: str(tmp_path))
    monkeypatch.setattr(making, "subprocess", SimpleNamespace(DEVNULL=-1, run=lambda *_, **__: SimpleNamespace(returncode=-9, stderr="")))


def test_it_is_made_once() -> None:
    """By another process; the next ones find it, and nobody is told to wait a second time."""
    said = list[str]()
    assert making.have_made(said.append)
    assert said in ([], [making.SENTENCE])
    assert making.have_made(pytest.fail)
    found = subprocess.run([sys.executable, "-c", FOUND], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[(1, 0), (1, 0)]"


@pytest.mark.usefixtures("failing")
def test_what_failed_is_told_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """And is not taken for done the next time."""
    said = list[str]()
    assert not making.have_made(said.append)
    assert not making.have_made(said.append)
    assert len(said) == 2
    assert "machine code could not be made (exit code -9): exports do without" in caplog.text


@pytest.mark.usefixtures("failing")
def test_exports_do_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what it tries, and goes the other road."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compiled, "LEAST_ROWS", 1)
    Path("events.jsonl").touch()
    assert main(["emit", "created", "t1", "--launcher", "sweep"]) == 0
    assert main(["replay", "events.jsonl", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["export", "--format", "parquet", "--out", "tasks.parquet"]) == 0
    assert making.SENTENCE in capsys.readouterr().err
    assert Path("tasks.parquet").stat().st_size


def test_where_none_can_be_kept_each_process_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said each time that this takes a while."""
    monkeypatch.setattr(making, "kept_in", lambda: "")
    said = list[str]()
    assert making.have_made(said.append)
    assert [each for each in said if "once for this run" in each] == said != []
