"""``report``: a file for people, the numbers for scripts."""

from __future__ import annotations

import html
import re
import shlex
import sys
from pathlib import Path

import pytest

AS_OF = ("--as-of", "2026-01-31T10:00:00Z")


@pytest.fixture
def told(cli, write_log, event) -> Path:
    """Three tasks in ``status.db``: one succeeded, one failed, one runs."""
    path = write_log(
        event("created", "a", 1, launcher="sweep"),
        event("launched", "a", 3),
        event("completed", "a", 13, completionStatus="SUCCESS"),
        event("created", "b", 2, launcher="it's"),
        event("launched", "b", 4),
        event("messaged", "b", 5, type="ERROR", key="timeout", localizedText={"locale": "en", "message": "No answer"}),
        event("completed", "b", 6, completionStatus="ERROR"),
        event("created", "c", 7),
        event("launched", "c", 8),
    )
    assert cli("replay", path, "--quiet").code == 0
    return Path(path)


@pytest.mark.usefixtures("told")
def test_a_report_is_one_file(cli, folder) -> None:
    """It is written where it is said, with how many tasks were looked at; nothing else is left, and standard output has nothing."""
    pytest.importorskip("matplotlib")
    result = cli("report", "--out", "night.html", "--title", "Night <1>")
    assert (result.code, result.out, result.err) == (0, "", "a report of 3 tasks written to night.html\n")
    assert [path.name for path in folder.iterdir() if not path.name.startswith(("status.db", "events"))] == ["night.html"]
    text = (folder / "night.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "<title>Night &lt;1&gt;</title>" in text
    assert cli("report", "--quiet").err == ""
    assert (folder / "report.html").exists()


@pytest.mark.usefixtures("told")
def test_the_same_store_gives_the_same_file(cli, folder) -> None:
    """As of the same moment, into a file or standard output."""
    pytest.importorskip("matplotlib")
    assert cli("report", *AS_OF, "--filter", "silence gt 1m").code == 0
    assert cli("report", *AS_OF, "--filter", "silence gt 1m", "--out", "-").out == (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("told")
def test_the_commands_that_a_report_names_say_the_same(cli) -> None:
    """Pasted into a shell they give its numbers, quotes and all."""
    pytest.importorskip("matplotlib")
    bounds = ("--since", "2026-01-31T09:00:01Z", "--until", "2026-01-31T09:00:07Z")
    text = cli("report", *AS_OF, *bounds, "--filter", 'launcher eq "it\'s" or launcher eq "sweep"', "--out", "-").out
    told = re.findall("<pre>(.*?)</pre>", text, re.DOTALL)
    commands = [shlex.split(line) for line in html.unescape(told[0]).splitlines()]
    assert [command[:2] for command in commands] == [["tracker", "count"], ["tracker", "count"], ["tracker", "histogram"]]
    count, by, histogram = (cli(*command[1:], "--json").json for command in commands)
    found = cli("report", *AS_OF, *bounds, "--filter", 'launcher eq "it\'s" or launcher eq "sweep"', "--json").json
    assert count == {"count": found["tasks"]} == {"count": 2}
    assert {each["completionStatus"]: each["count"] for each in by} == found["outcomes"] == {"SUCCESS": 1, "ERROR": 1}
    assert histogram == found["histogram"]


@pytest.mark.usefixtures("told")
def test_a_report_as_json(cli, folder) -> None:
    """One document, in microseconds, and no file."""
    found = cli("report", *AS_OF, "--json").json
    assert list(found) == [
        *("revision", "newestEventTime", "lagRecords", "askedAt", "filters", "over", "since", "until", "tasks", "outcomes", "histogram"),
        *("ran", "waited", "failures", "slowest", "silent", "selection"),
    ]
    assert found["ran"]["all"] == {
        "tasks": 2,
        "least": 2_000_000,
        "p50": 2_000_000,
        "p90": 10_000_000,
        "p95": 10_000_000,
        "p99": 10_000_000,
        "greatest": 10_000_000,
        "exact": True,
    }
    assert found["ran"]["missing"] == {"running": 1}
    assert found["failures"]["keys"][0] == {
        "key": "timeout",
        "tasks": 1,
        "byStatus": {"ERROR": 1},
        "latestCompleted": "2026-01-31T09:00:06.000Z",
        "latestTask": "b",
        "text": "No answer",
    }
    assert [task["id"] for task in found["slowest"]] == ["a", "b"]
    assert found["silent"] == {"running": 1, "longerThan": {"10m": 1, "1h": 0, "1d": 0}, "longest": [found["silent"]["longest"][0]]}
    assert found["silent"]["longest"][0]["microseconds"] == 3_592_000_000
    assert not (folder / "report.html").exists()


@pytest.mark.usefixtures("told")
def test_the_extra_is_named_where_it_is_missing(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with what to install; the numbers need none."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith(("matplotlib.", "tracker.analytics.report"))]:
        monkeypatch.delitem(sys.modules, name)
    result = cli("report")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "pip install 'tracker[report]'" in result.err
    assert cli("report", "--json").code == 0
