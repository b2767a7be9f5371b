"""What the shell offers where Tab is pressed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.cli import completing
from tracker.query.fields import KNOWN

FILTERS = [
    ("st", ["state"]),
    ("attr", ["attributes."]),
    ("taskDefinitionSummary.a", ["taskDefinitionSummary.arguments."]),
    ("attributes.rows i", ["attributes.rows in", "attributes.rows isnull"]),
    ("pr attributes.rows ", ["pr attributes.rows and", "pr attributes.rows or"]),
    ("launcher eq attributes.x ", ["launcher eq attributes.x and", "launcher eq attributes.x or"]),
    ("state e", ["state eq"]),
    ("state i", ["state in", "state isnull"]),
    ("state eq ", ['state eq "PENDING"', 'state eq "RUNNING"', 'state eq "COMPLETED"']),
    ('state eq "RU', ['state eq "RUNNING"']),
    ("state in (", ['state in ("PENDING"', 'state in ("RUNNING"', 'state in ("COMPLETED"']),
    ('state in ("RUNNING", "PE', ['state in ("RUNNING", "PENDING"']),
    ('state in ("RUNNING") ', ['state in ("RUNNING") and', 'state in ("RUNNING") or']),
    ('state eq "RUNNING" a', ['state eq "RUNNING" and']),
    ('launcher eq "a and b" ', ['launcher eq "a and b" and', 'launcher eq "a and b" or']),
    ('state eq "RUNNING" and lau', ['state eq "RUNNING" and launcher', 'state eq "RUNNING" and launched']),
    ("pr modif", ["pr modified"]),
    ("not (stat", ["not (state"]),
    ("launcher eq ", []),
    ("in (", [f"in ({name}" for name in (*KNOWN, "attributes.", "taskDefinitionSummary.arguments.", "not", "pr")]),
    ("messages.type ca (", ['messages.type ca ("INFO"', 'messages.type ca ("WARN"', 'messages.type ca ("ERROR"']),
]


@pytest.mark.parametrize(("text", "offered"), FILTERS, ids=[text for text, _ in FILTERS])
def test_a_filter_is_completed(text: str, offered: list[str]) -> None:
    """What can stand next, as the whole text up to there."""
    assert sorted(completing.filters(text)) == sorted(offered)


@given(st.lists(st.sampled_from(["in", "(", ")", ",", "state", "eq", '"', "\\", "not", "pr", "attributes.x", " ", "é"])).map(" ".join))
def test_nothing_that_stands_there_is_an_error(text: str) -> None:
    """Whatever stands there, an offer keeps all of it but the last word."""
    kept = "" if '"' in text else text[: text.rfind(" ") + 1]
    assert all(offered.startswith(kept) for offered in completing.filters(text))


def test_sorters_are_completed() -> None:
    """Each field once, with its sign."""
    assert completing.sorters("-mod") == ["-modified"]
    assert completing.sorters("dur") == ["duration"]
    assert completing.sorters("-modified,i") == ["-modified,id"]
    assert "-modified,-modified" not in completing.sorters("-modified,-")


@pytest.fixture
def complete(folder: Path):
    """Asks bash, with the script that `--show-completion` prints, what it offers for the words of a line."""
    if (bash := shutil.which("bash")) is None:
        pytest.skip("there is no bash")
    bin_ = folder / "bin"
    bin_.mkdir()
    (bin_ / "tracker").write_text(f'#!/bin/sh\nexec {sys.executable} -m tracker "$@"\n', encoding="utf-8")
    (bin_ / "tracker").chmod(0o755)

    def ask(*words: str) -> list[str]:
        script = f"""
            PATH={bin_}:$PATH
            eval "$(_TRACKER_COMPLETE=source_bash tracker)"
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            _tracker_completion tracker
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run([bash, "-c", script, "bash", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        return [line for line in done.stdout.splitlines() if line]

    return ask


@pytest.mark.slow
def test_bash_completes_commands(complete) -> None:
    """`tracker hist` and Tab."""
    assert complete("tracker", "hist") == ["histogram"]


@pytest.mark.slow
def test_bash_completes_a_filter_in_quotes(complete) -> None:
    """An open quote, as it stands on the line."""
    assert complete("tracker", "list", "--filter", "'state eq \"RU") == ['state eq "RUNNING"']


@pytest.mark.slow
@pytest.mark.usefixtures("filled")
def test_bash_completes_task_ids(complete) -> None:
    """The ids of the store at hand, or of the one that is named."""
    assert complete("tracker", "get", "t") == ["t1", "t2"]
    assert complete("tracker", "why", "--store", "sqlite:///status.db", "t") == ["t1", "t2"]


@pytest.mark.slow
def test_bash_completes_nothing_without_a_store(complete) -> None:
    """No error where there is nothing to offer."""
    assert complete("tracker", "tree", "--store", "sqlite:///none.db", "t") == []
