"""The notebook in ``examples/`` is true: its cells run one after the other, as they are, over a store."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.unit.query_store import commit, event
from tracker.stores.open import open_store

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "statuses.ipynb"
pytestmark = pytest.mark.skipif(not NOTEBOOK.exists(), reason="the notebook is part of the source tree")
for package in ("polars", "pyarrow", "matplotlib"):
    pytest.importorskip(package)


def cells() -> list[dict[str, Any]]:
    """Those of the notebook."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return list(notebook["cells"])


def run(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, if that is an expression, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each cell shows, by its id, over six tasks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACKER_STORE", raising=False)
    monkeypatch.setenv("MPLBACKEND", "agg")
    with open_store("sqlite:///status.db") as store:
        for number, (launcher, seconds) in enumerate([("sweep", 10), ("sweep", 20), ("sweep", 40), ("nightly", 5), ("nightly", 6)]):
            id, status = f"t{number}", "ERROR" if number == 1 else "SUCCESS"
            said = {"locale": "en", "message": "No answer"}
            commit(store, [event(id, "created", launcher=launcher), event(id, "launched", "2026-01-01T00:00:01Z")])
            commit(store, [event(id, "messaged", type="ERROR", key="timeout", localizedText=said)])
            commit(store, [event(id, "completed", f"2026-01-01T00:00:{1 + seconds:02d}Z", completionStatus=status)])
        commit(store, [event("runs", "created"), event("runs", "launched")])
    names: dict[str, Any] = {}
    return {cell["id"]: run("".join(cell["source"]), names) for cell in cells() if cell["cell_type"] == "code"}


def test_the_notebook_runs(shown: dict[str, Any]) -> None:
    """It connects, counts, has a frame with the durations by launcher, draws it, and writes the report."""
    assert shown["connect"] == {"COMPLETED": 5, "RUNNING": 1}
    assert shown["frame"].height == 5
    durations = {row["launcher"]: row for row in shown["durations"].iter_rows(named=True)}
    assert list(durations) == ["sweep", "nightly"]
    assert (durations["sweep"]["tasks"], durations["sweep"]["p50"], durations["sweep"]["p90"]) == (3, 20.0, 40.0)
    assert math.isclose(durations["sweep"]["failed"], 1 / 3)
    assert len(shown["picture"].axes[0].patches) == 4
    assert shown["report"] == {"timeout": 1}
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_notebook_holds_no_outputs() -> None:
    """Results of somebody's store are not part of the source, and each cell has an id."""
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in cells()}) == len(cells())
