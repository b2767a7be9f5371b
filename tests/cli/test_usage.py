"""A user's mistake gets one sentence and an exit code, never a traceback."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

WRONG_USAGE = [
    (["lst"], "did you mean 'list'"),
    (["list", "--fitler", "x"], "did you mean --filter?"),
    (["list", "--format", "tabel"], "did you mean table?"),
    (["list", "--limit", "-1"], "--limit can't be -1"),
    (["list", "--limit", "many"], "'--limit'"),
    (["list", "--sort", "modifed"], 'did you mean "modified"'),
    (["list", "--offset", "-1"], "offset"),
    (["list", "--after", "x"], "expected a cursor"),
    (["list", "--after", "x", "--offset", "1"], "not both"),
    (["count", "--by", "stat"], 'did you mean "state"'),
    (["count", "--cap", "0"], "a cap is 1 or more"),
    (["count", "--cap", "9", "--by", "state"], "give one of them"),
    (["histogram", "--over", "complete"], 'did you mean "completed"'),
    (["histogram", "--by", "stat"], 'did you mean "state"'),
    (["histogram", "--bucket", "fast"], "such as 30s"),
    (["histogram", "--since", "yesterday"], "since: expected a time"),
    (["report", "--over", "complete"], 'did you mean "completed"'),
    (["report", "--bucket", "fast"], "such as 30s"),
    (["report", "--since", "yesterday"], "since: expected a time"),
    (["report", "--as-of", "yesterday"], "--as-of: expected a time such as 2026-01-31"),
    (["tree"], "TASK"),
    (["tree", "t1", "--limit", "0"], "1 to 10,000 tasks"),
    (["list", "--store", "sqlit:///x.db"], "expected a store such as sqlite:///status.db"),
    (["get"], "TASK"),
    (["emit", "complete", "t1"], "did you mean completed?"),
    (["emit", "completed", "t1", "--status", "SUCESS"], "did you mean SUCCESS?"),
    (["emit", "completed", "t1"], "a completed event needs --status"),
    (["emit", "created", "t1", "--source", "-"], "can't be written to standard input"),
    (["emit", "created", "t1", "--percent", "4"], "a created event takes no --percent; progressed events do"),
    (["emit", "progressed", "t1", "--percent", "400"], "data.percentComplete"),
    (["emit", "created", "t1", "--data", "[1]"], "must be a JSON object"),
    (["emit", "created", "t1", "--time", "yesterday"], "time: expected an RFC 3339 time"),
    (["emit", "created", "t1", "--attempt", "0"], "attempt:"),
    (["emit", "created", "t1", "--data", '{"zzz":NaN}'], "would be parked as not-json"),
    (["emit", "created", "t1", "--data", '{"zzz":1e999}'], "would be parked as not-json"),
    (["emit", "created", "t1", "--data", '{"attributes":{"a":' + "[" * 70 + "]" * 70 + "}}"], "would be parked as not-json"),
    (["emit", "created", "t1", "--data", '{"zzz":"' + "x" * 2**20 + '"}'], "would be parked as too-large"),
    (
        ["emit", "created", "t1", "--data", '{"attributes":5}', "--attribute", "a=1"],
        "must be an object where --attribute adds to them, got 5",
    ),
    (["emit", "created", "t1", "--data", '{"attributes":null}', "--attribute", "a=1"], "must be an object"),
    (["emit", "created", "a\udcff"], "udcff"),
    (["emit", "created", "t1", "--data", '{"zzz":"\\ud800"}'], "can't be written as UTF-8: '\\ud800'"),
    (["emit", "created", "t1", "--data", '{"a":' + "[" * 50_000 + "]" * 50_000 + "}"], "--data is nested too deep"),
    (["emit", "created", "t1", "--data", '{"attributes":{"b":' + "[" * 800 + "]" * 800 + "}}"], "levels of nesting"),
    (["emit", "created", "t1", "--attribute", "a=" + "[" * 50_000 + "]" * 50_000], "--attribute a is nested too deep"),
    (["get", "a\udcff"], "udcff"),
    (["run", "--source", "kafka:/localhost/x"], "did you mean kafka://localhost/x?"),
    (["run", "--source", "kafka//localhost/x"], "did you mean kafka://localhost/x?"),
    (["emit", "created", "t1", "--source", "kafka:localhost/x"], "did you mean kafka://localhost/x?"),
    (["status", "--store", "memory://"], "can't be read by another command"),
    (["list", "--store", "memory://"], "can't be read by another command"),
    (["run", "--source", "kafka://me:hunter2@x/y"], "takes no user or password: put them into a properties file"),
    (["run", "--source", "kafak://x/y"], "did you mean kafka://?"),
    (["run", "--source", "kafka://localhost:9092"], "names no topic"),
    (["run", "--source", "file:///x"], "named without a scheme"),
    (["run", "--on-lost-offset", "earlist"], "did you mean earliest?"),
    (["run", "--max-batch-age", "fast"], "expected a duration such as 500ms"),
    (["run", "--max-batch-records", "0"], "expected a whole number from 1"),
    (["run", "--max-parked-ratio", "2"], "expected a ratio from 0 to 1"),
    (["run", "--max-record-bytes", "big"], "expected a size such as"),
    (["run", "--instance", "a"], "files have no group"),
    (["replay"], "FILES"),
    (["parked", "retry"], "give their numbers"),
    (["parked", "retry", "1", "--all"], "give their numbers"),
    (["parked", "list", "--reason", "not-jsn"], "did you mean not-json?"),
    (["simulate", "--rate", "-1"], "--rate can't be -1"),
    (["watch", "--limit", "0"], "--limit can't be 0"),
]


@pytest.mark.parametrize(
    ("arguments", "expected"), WRONG_USAGE, ids=lambda value: ascii(" ".join(value))[:80] if isinstance(value, list) else ""
)
@pytest.mark.usefixtures("filled")
def test_wrong_usage_is_exit_code_2(cli, arguments: list[str], expected: str) -> None:
    """Unknown commands, options and values say what is wrong and what is near, in one line."""
    result = cli(*arguments)
    assert result.code == 2
    assert expected.lower() in result.err.lower()
    assert result.err.count("\n") == 1
    assert result.out == ""
    assert "hunter2" not in result.err


FILTERS = [
    ('stat eq "RUNNING"', 'did you mean "state"', 0),
    ('state eqq "RUNNING"', 'did you mean "eq"', 6),
    ("state eq", "found the end", 8),
    ('uniqueName eq "日本" anf', 'did you mean "and"', 21),
    ('id eq "a\udcff"', "not Unicode text", 6),
]


@pytest.mark.parametrize("command", ["list", "count", "watch", "export", "histogram", "report"])
@pytest.mark.parametrize(("text", "expected", "column"), FILTERS, ids=lambda value: ascii(value)[:40])
@pytest.mark.usefixtures("filled")
def test_a_filter_error_points_at_its_place(cli, command: str, text: str, expected: str, column: int) -> None:
    """Below the sentence stands the filter, and below that a mark under what is wrong."""
    result = cli(command, "--filter", text)
    assert (result.code, result.out) == (2, "")
    sentence, shown, mark = result.err.splitlines()
    assert expected in sentence
    assert shown.startswith("  ")
    assert mark == "  " + " " * column + "^"


@pytest.mark.usefixtures("filled")
def test_of_a_long_filter_the_part_around_the_error_is_shown(cli) -> None:
    """A filter of 3,000 characters does not fill the screen."""
    text = " or ".join(['state eq "RUNNING"'] * 100) + " or stat pr"
    _, shown, mark = cli("count", "--filter", text).err.splitlines()
    assert len(shown) <= 102
    assert shown[mark.index("^") :].startswith("stat") or shown[mark.index("^") :].startswith("pr")


FAILURES = [
    (["get", "nope"], "there is no task nope"),
    (["why", "nope"], "there is no task nope"),
    (["tree", "nope"], "there is no task nope"),
    (["tree", "gone"], "there is no task gone"),
    (["list", "--store", "sqlite:///none.db"], "none.db"),
    (["status", "--store", "sqlite:///none.db"], "none.db"),
    (["watch", "--store", "sqlite:///none.db"], "none.db"),
    (["export", "--store", "sqlite:///none.db"], "none.db"),
    (["parked", "list", "--store", "sqlite:///none.db"], "none.db"),
    (["parked", "retry", "--all", "--store", "sqlite:///none.db"], "none.db"),
    (["parked", "show", "99"], "no parked record 99"),
    (["parked", "retry", "99"], "no parked record 99"),
    (["parked", "drop", "99"], "no parked record 99"),
    (["replay", "none.jsonl"], "none.jsonl"),
    (["replay", "none-*.jsonl"], "no file matches none-*.jsonl"),
    (["run", "--source", "none.jsonl"], "none.jsonl"),
    (["export", "--out", "none/all.jsonl"], "none/all.jsonl can't be written"),
    (["report", "--store", "sqlite:///none.db"], "none.db"),
    (["report", "--out", "none/report.html"], "none/report.html can't be written"),
    (["emit", "created", "t1", "--source", "none/events.jsonl"], "can't be written"),
    (["run", "--source", "kafka://x/y", "--kafka-config", "none.properties"], "none.properties can't be read"),
]


@pytest.mark.parametrize(("arguments", "expected"), FAILURES, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
@pytest.mark.usefixtures("filled")
def test_failure_is_exit_code_1(cli, folder: Path, arguments: list[str], expected: str) -> None:
    """What is not there, or can't be written, is one sentence on standard error; nothing is made on the way."""
    result = cli(*arguments)
    assert result.code == 1
    assert expected in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert not (folder / "none.db").exists()


def test_a_file_that_is_no_store(cli, folder: Path) -> None:
    """Another file under the store's name is refused, and stays as it is."""
    (folder / "status.db").write_text("this is no database " * 100)
    result = cli("list")
    assert result.code in (1, 3)
    assert "status.db" in result.err
    assert "Traceback" not in result.err


def test_too_many_parked_is_exit_code_3(cli, write_log) -> None:
    """A wrong log stops the run, with the ratio and the choices."""
    write_log(*[b"{}"] * 2000)
    result = cli("run", "--max-batch-records", "500")
    assert result.code == 3
    assert "--max-parked-ratio" in result.err
    assert cli("replay", "events.jsonl", "--store", "sqlite:///other.db", "--max-parked-ratio", "0").code == 0


def test_another_file_under_a_known_name_is_exit_code_3(cli, filled: Path, event, write_log) -> None:
    """The store knows its files by identity; an operator must decide."""
    filled.unlink()
    write_log(*[event("created", f"other-{number}", 1) for number in range(40)])
    result = cli("run")
    assert result.code == 3
    assert "events.jsonl" in result.err


@pytest.mark.usefixtures("filled")
def test_sums_that_do_not_add_up_are_exit_code_4(cli, folder: Path) -> None:
    """`status` is unhealthy where the counters do not balance, and says so."""
    assert cli("status").code == 0
    with sqlite3.connect(folder / "status.db") as database:
        database.execute("UPDATE position SET read = read + 1")
    database.close()
    result = cli("status", "--json")
    assert result.code == 4
    assert (result.json["healthy"], result.json["balanced"]) == (False, False)
    assert "do not add up" in cli("status").err


@pytest.mark.usefixtures("filled")
def test_other_limits_than_the_stores_are_exit_code_3(cli) -> None:
    """Limits are written into a store when it is made; a worker with others is refused."""
    assert cli("run", "--max-record-bytes", "2M").code == 3
    assert cli("run", "--max-record-bytes", "1M").code == 0


def test_no_command_shows_the_help(cli) -> None:
    """Help is no failure of the program, but nothing was done either."""
    result = cli()
    assert "Commands" in result.out + result.err


def test_help_starts_fast() -> None:
    """`tracker --help` needs no Rich, no database and no Kafka: well under 0.4 s of processor time."""
    command = [sys.executable, "-X", "importtime", "-m", "tracker", "--help"]
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    after = os.times()
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert imported.isdisjoint({"sqlalchemy", "aiokafka", "pydantic", "rich.console", "alembic", "lark", "msgspec"})
    assert used_s < 1.0, f"{used_s:.2f} s"


@pytest.mark.usefixtures("filled")
def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    """`tracker export | head -1`: no traceback when the pipe is closed."""
    export = subprocess.Popen([sys.executable, "-m", "tracker", "export"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder)
    assert export.stdout is not None
    export.stdout.close()
    _, err = export.communicate(timeout=30)
    assert b"Traceback" not in err


@pytest.mark.parametrize("command", [["export"], ["status", "--json"], ["list", "--format", "csv"], ["list", "--format", "table"]])
@pytest.mark.usefixtures("filled")
def test_a_full_disk_is_one_sentence(folder: Path, command: list[str]) -> None:
    """Standard output that takes nothing is exit code 1 and one sentence, with nothing from Python at exit."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tracker", *command], stdout=full, stderr=subprocess.PIPE, text=True, cwd=folder, timeout=30, check=False
        )
    assert (done.returncode, done.stderr) == (1, "tracker: standard output can't be written: No space left on device\n")


@pytest.mark.usefixtures("filled")
def test_ctrl_c_is_quiet(folder: Path) -> None:
    """Ctrl-C ends `watch` in order: nothing but what it had to say."""
    watch = subprocess.Popen(
        [sys.executable, "-m", "tracker", "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )
    assert watch.stderr is not None
    assert "watching" in watch.stderr.readline()
    began = time.monotonic()
    watch.send_signal(2)
    _, err = watch.communicate(timeout=30)
    assert (watch.returncode, err) == (0, "")
    assert time.monotonic() - began < 5
