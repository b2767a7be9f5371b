"""``tree`` and ``histogram``: pictures for people, documents for scripts."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def family(cli, write_log, event) -> Path:
    """``root`` with the children ``a`` (failed) and ``b`` (running, 40 %), and ``a1`` below ``a``."""
    path = write_log(
        event("created", "root", 1, uniqueName="Nightly run"),
        event("created", "a", 2, parentId="root"),
        event("launched", "a", 3),
        event("completed", "a", 4, completionStatus="ERROR"),
        event("created", "b", 5, parentId="root", uniqueName="Übung\x1b[31m"),
        event("launched", "b", 6),
        event("progressed", "b", 7, percentComplete=40),
        event("created", "a1", 8, parentId="a"),
        event("created", "lost", 9, parentId="nobody"),
        event("created", "x", 10, parentId="y"),
        event("created", "y", 11, parentId="x"),
    )
    assert cli("replay", path, "--quiet").code == 0
    return Path(path)


@pytest.mark.usefixtures("family")
def test_a_tree_is_drawn_around_its_task(cli) -> None:
    """From the root down, in order of ids, each with its state; control characters do nothing."""
    assert cli("tree", "a1").out.splitlines() == [
        "root  PENDING  Nightly run",
        "└── a  ERROR",
        "    └── a1  PENDING",
    ]
    assert cli("tree", "root").out.splitlines() == [
        "root  PENDING  Nightly run",
        "├── a  ERROR",
        "│   └── a1  PENDING",
        "└── b  RUNNING 40%  Übung\ufffd[31m",
    ]


@pytest.mark.usefixtures("family")
def test_a_tree_as_json(cli) -> None:
    """The whole tree as one document."""
    tree = cli("tree", "a", "--json").json
    assert (tree["id"], tree["tasks"], tree["cut"]) == ("a", 3, False)
    assert list(tree["root"]) == ["id", "uniqueName", "state", "completionStatus", "percentComplete", "mark", "children"]
    assert tree["root"]["children"][0]["children"][0]["id"] == "a1"


@pytest.mark.usefixtures("family")
def test_what_is_odd_about_a_tree_is_said(cli) -> None:
    """A parent that is not there, and a task that is its own ancestor."""
    assert cli("tree", "lost").out.splitlines() == ["nobody  (not in the store)", "└── lost  PENDING"]
    assert "(stands in the tree already)" in cli("tree", "x").out


@pytest.mark.usefixtures("family")
def test_a_tree_that_is_cut_says_so(cli) -> None:
    """What a limit leaves out is marked where it was, and on standard error."""
    result = cli("tree", "root", "--limit", "2")
    assert "has more than is shown" in result.out
    assert "there are more" in result.err


@pytest.mark.usefixtures("family")
def test_a_histogram_has_a_bar_a_bucket(cli) -> None:
    """The longest bar takes the width; stretches without a task are one line."""
    lines = cli("histogram", "--bucket", "5s", "--filter", 'id in ("root", "a", "x", "y")').out.splitlines()
    assert [[*line.split(" ")[0:2], line.split(" ")[-1]] for line in (lines[0], lines[2])] == [
        ["2026-01-31", "09:00:00", "2"],
        ["2026-01-31", "09:00:10", "2"],
    ]
    assert lines[1].strip() == "1 × 5s without a task"
    assert lines[0].count("█") > 100


@pytest.mark.usefixtures("family")
def test_a_histogram_by_a_field_has_a_legend(cli) -> None:
    """Each value of the field is a part of the bar."""
    assert cli("histogram", "--by", "state").out.splitlines()[0] == "█ COMPLETED  █ PENDING  █ RUNNING"


@pytest.mark.usefixtures("family")
def test_a_histogram_as_json(cli) -> None:
    """All buckets with their counts; those of the values stand in the order of `values`."""
    found = cli("histogram", "--over", "completed", "--by", "completionStatus", "--bucket", "1s", "--json").json
    assert list(found) == ["field", "bucket", "by", "values", "buckets"]
    [bucket] = found["buckets"]
    assert (bucket["start"], bucket["count"]) == ("2026-01-31T09:00:04.000Z", 1)
    assert bucket["counts"][found["values"].index("ERROR")] == 1


@pytest.mark.usefixtures("family")
def test_a_legend_has_no_value_without_a_bar(cli) -> None:
    """Tasks in flight have no completion status, and no bar among the ended ones."""
    assert cli("histogram", "--over", "completed", "--by", "completionStatus").out.splitlines()[0] == "█ ERROR"


@pytest.mark.usefixtures("family")
def test_a_histogram_of_nothing_says_so(cli) -> None:
    """No bars, and no crash."""
    result = cli("histogram", "--since", "now-1m")
    assert (result.code, result.out, result.err) == (0, "", "no task matches\n")


@pytest.mark.usefixtures("family")
def test_pages_go_on_after_a_cursor(cli) -> None:
    """The cursor on standard error leads to the next page, each task once."""
    first = cli("list", "--sort", "id", "-n", "4", "--format", "jsonl")
    cursor = first.err.splitlines()[-1].removeprefix("--after ")
    rest = cli("list", "--sort", "id", "-n", "0", "--format", "jsonl", "--after", cursor)
    both = first.out + rest.out
    assert both == cli("list", "--sort", "id", "--format", "jsonl").out
    assert cli("list", "--sort", "id", "--format", "jsonl", "--offset", "4").out == rest.out


@pytest.mark.usefixtures("family")
def test_a_filter_on_attributes_lists_all_that_match(cli) -> None:
    """Also where each task has to be looked at."""
    assert cli("list", "-n", "3", "--filter", "attributes.zzz isnull", "--sort", "id", "--format", "jsonl").out.count("\n") == 3


@pytest.mark.usefixtures("family")
def test_a_capped_count(cli) -> None:
    """Up to the cap a number, beyond it a plus; as JSON whether it is exact."""
    assert cli("count", "--cap", "3").out == "3+\n"
    assert cli("count", "--cap", "30").out == "7\n"
    assert cli("count", "--cap", "3", "--json").json == {"count": 3, "exact": False}
    assert cli("count", "--json").json == {"count": 7}


@pytest.mark.usefixtures("family")
def test_relative_times_are_from_now(cli) -> None:
    """`now` is the clock's: everything here was long ago."""
    assert cli("count", "--filter", "modified lt now-10m").out == "7\n"
    assert cli("count", "--filter", "silence gt 1d").out == "7\n"
    assert cli("count", "--filter", "silence lt 1d").out == "0\n"
