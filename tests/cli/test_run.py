"""`tracker run` as a process: followed logs, signals, the live view, and the simulated workload."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
TRACKER = [sys.executable, "-m", "tracker"]
DEADLINE_S = 30.0


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command in the folder; what is left at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([*TRACKER, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE_S)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.05)


def shows(cli, task: str, **expected: object) -> Callable[[], bool]:
    """Whether the task's status has these values by now."""

    def look() -> bool:
        result = cli("get", task, "--json")
        return bool(result.code == 0 and expected.items() <= result.json.items())

    return look


def test_an_event_is_seen_by_another_command_at_once(cli, start, write_log, event) -> None:
    """A followed file into SQLite: what `emit` writes, `get` shows, while the run goes on."""
    write_log(event("created", "t1", 1))
    run = start("run", "--follow")
    until(shows(cli, "t1"), "the first event")
    cli("emit", "launched", "t1")
    cli("emit", "completed", "t1", "--status", "SUCCESS")
    until(shows(cli, "t1", completionStatus="SUCCESS", percentComplete=100), "the emitted events")
    assert run.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_within_five_seconds_with_the_sums_right(cli, start, write_log, event, number: signal.Signals) -> None:
    """Exit code 0, and the store stands at a commit: everything read is accounted for."""
    write_log(*[event("created", f"t{task}", 1) for task in range(500)])
    run = start("run", "--follow", "--json")
    until(lambda: cli("count").out == "500\n", "the log to be folded")
    began = time.monotonic()
    run.send_signal(number)
    out, err = run.communicate(timeout=DEADLINE_S)
    assert time.monotonic() - began < 5
    assert run.returncode == 0, err
    assert json.loads(out)["read"] == 500
    assert cli("status", "--json").json["healthy"]


def test_a_run_purges_what_ended_long_ago(cli, start, write_log, event) -> None:
    """Beside its reading: what has ended goes, what runs stays, and a signal ends it within the same seconds."""
    write_log(event("completed", "old", 1, completionStatus="SUCCESS"), event("launched", "new", 2))
    process = start("run", "--follow", "--keep-completed", "1h")
    until(lambda: cli("get", "new").code == 0, "the first batch")
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    process = start("run", "--follow", "--keep-completed", "1h")
    until(lambda: cli("status", "--json").json["purged"] == 1, "the purge of a run that finds something at its start")
    assert (cli("get", "old").code, cli("get", "new").code) == (1, 0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert "1 tasks that ended long ago were purged" in process.stderr.read()


def test_a_run_says_what_it_reads_into_where(cli, write_log, event) -> None:
    """The first line names source and store."""
    write_log(event("created", "t1", 1))
    assert "reading events.jsonl into sqlite:///status.db" in cli("run").err


def test_a_second_run_goes_on(cli, write_log, event) -> None:
    """The position is the store's: nothing is read twice."""
    write_log(event("created", "t1", 1))
    assert cli("run", "--json").json["read"] == 1
    write_log(event("created", "t2", 1))
    assert cli("run", "--json").json["read"] == 1


def test_settings_come_from_the_environment(cli, write_log, event, monkeypatch) -> None:
    """TRACKER_SOURCE and TRACKER_STORE stand in for the options."""
    write_log(event("created", "t1", 1), name="other.jsonl")
    monkeypatch.setenv("TRACKER_SOURCE", "other.jsonl")
    monkeypatch.setenv("TRACKER_STORE", "sqlite:///other.db")
    assert cli("run", "--json").json["tasks"] == 1
    assert cli("count").out == "1\n"


def test_a_memory_store(cli, write_log, event) -> None:
    """`memory://` folds and forgets."""
    write_log(event("created", "t1", 1))
    assert cli("run", "--store", "memory://", "--json").json["tasks"] == 1


def test_a_missing_log_is_simulated_and_goes_on(cli, start, folder: Path) -> None:
    """`--simulate-if-missing` makes about 2,000 events of finished tasks, then something keeps moving; it is said."""
    run = start("run", "--follow", "--simulate-if-missing", "--live")
    until(lambda: cli("count", "--filter", 'state eq "COMPLETED"').out.strip() not in ("", "0"), "the history")
    before = cli("status", "--json").json["counters"]["read"]
    until(lambda: cli("status", "--json").json["counters"]["read"] > before, "the stream to move")
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 0
    assert "events.jsonl was missing" in err
    assert 1_500 < len((folder / "events.jsonl").read_bytes().splitlines()) < 3_000
    assert cli("run", "--until-end", "--json").json["parked"] == 0


def test_a_log_that_is_there_is_not_simulated(cli, write_log, event) -> None:
    """`--simulate-if-missing` leaves an existing file alone."""
    write_log(event("created", "t1", 1))
    assert cli("run", "--simulate-if-missing", "--json").json["read"] == 1


@pytest.mark.usefixtures("folder")
def test_the_live_view_in_a_terminal() -> None:
    """Tasks, the counts, and how to go on are on the screen within seconds, and Ctrl-C leaves it in order."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(COLUMNS="140", LINES="40", TERM="xterm")
        os.execv(sys.executable, [*TRACKER, "run", "--follow", "--live", "--simulate-if-missing"])
    screen = b""
    deadline = time.monotonic() + DEADLINE_S
    while (b"SUCCESS" not in screen or screen.count(b"make run SOURCE=kafka") < 3) and time.monotonic() < deadline:
        screen += os.read(terminal, 65536)
    os.kill(child, signal.SIGINT)
    try:
        while data := os.read(terminal, 65536):
            screen += data
    except OSError:  # the other side is closed
        pass
    _, status = os.waitpid(child, 0)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode(errors="replace"))
    assert os.waitstatus_to_exitcode(status) == 0, text[-2000:]
    for expected in (
        "events.jsonl ──► sqlite:///status.db",
        "COMPLETED",
        "make run SOURCE=kafka://localhost:9092/task-events",
        "made-up events",
    ):
        assert expected in text
    assert "Traceback" not in text


def test_simulate_writes_so_many_tasks(cli) -> None:
    """`simulate --tasks N` ends; all of it is valid; the same seed makes the same tasks."""
    assert cli("simulate", "--tasks", "30", "--rate", "0", "--seed", "5", "--quiet").code == 0
    totals = cli("replay", "events.jsonl", "--json").json
    assert totals["parked"] == 0
    assert 0 < totals["tasks"] <= 30
    assert cli("simulate", "--tasks", "30", "--rate", "0", "--seed", "5", "--source", "again.jsonl", "--quiet").code == 0
    cli("replay", "again.jsonl", "--store", "sqlite:///again.db", "--quiet")
    ids = [
        [row["id"] for row in cli("list", "--json", "--sort", "id", "--limit", "0", "--store", f"sqlite:///{name}.db").json]
        for name in ("status", "again")
    ]
    assert ids[0] == ids[1]


def test_text_of_events_cannot_steer_the_terminal(cli, write_log, event) -> None:
    """Control characters in an event's text are shown as a mark."""
    write_log(event("created", "t1", 1, uniqueName="a\x1b[31mred\x07"))
    cli("run")
    assert "\x1b[31mred" not in cli("list", "--format", "table").out
    assert "a�[31mred�" in cli("list", "--format", "table").out


@pytest.mark.parametrize(("columns", "last"), [("140", "modified"), ("80", "progress"), ("60", "state")])
def test_a_table_fits_the_terminal(cli, write_log, event, monkeypatch, columns: str, last: str) -> None:
    """Ids stay whole; where the terminal is narrow, columns go, and no column is cut off."""
    write_log(event("created", "0e198d0fbea11456a8c8576c7296734b", 1, uniqueName="A very long name " * 9))
    cli("run")
    monkeypatch.setenv("COLUMNS", columns)
    header, row = cli("list", "--format", "table").out.splitlines()
    assert header.split()[-1] == last
    assert row.startswith("0e198d0fbea11456a8c8576c7296734b  A ver")
    assert len(row.rstrip()) <= int(columns)
    assert "PENDING" in row


def test_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    """A demo folds made-up tasks in a temporary place, stops on SIGINT with exit code 0, and removes the place."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*TRACKER, "demo"], env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "records read" in line)
        process.send_signal(signal.SIGINT)
        process.stderr.read()

    assert (process.returncode, "0 parked" in told, list(tmp_path.iterdir())) == (0, True, [])


def test_a_worker_that_is_stuck_exits_with_code_4(cli, start, folder: Path, write_log, event) -> None:
    """Somebody's lock on the store that never ends: the sentence says what the worker waits for, and how long it did."""
    write_log(event("created", "t1", 1))
    assert cli("run", "--until-end").code == 0
    write_log(event("launched", "t1", 2))
    holder = sqlite3.connect(folder / "status.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    process = start("run", "--exit-when-stuck", "2s")
    _, said = process.communicate(timeout=DEADLINE_S)
    holder.close()

    assert process.returncode == 4
    assert said.splitlines()[-1].startswith("tracker: partitions to read and no beginning for 2 s: the loop is claiming partitions")
    assert "worker thread: execute_in_turn" in said
    assert "Traceback" not in said


def test_a_thread_that_hangs_for_good_does_not_keep_the_process(folder: Path) -> None:
    """The end in order waits for the thread; after some seconds the process ends all the same, with code 4."""
    script = folder / "hangs.py"
    script.write_text(
        "import asyncio, time\n"
        "from tracker.cli import stopping\n"
        "from tracker.projector import Options, Projector\n"
        "from tracker.sources.open import open_source\n"
        "from tracker.stores.memory import MemoryStore\n"
        "stopping.HANGS_S = 1.0\n"
        "store = MemoryStore()\n"
        "store.commit = lambda commit: time.sleep(3600)\n"
        "make = lambda revoked: open_source('events.jsonl', follow=True, on_revoked=revoked)\n"
        "asyncio.run(Projector(make, store, options=Options(exit_when_stuck_s=2.0), on_stuck=stopping.exit_soon).run())\n"
    )
    (folder / "events.jsonl").write_bytes(b"{}\n")
    assert subprocess.run([sys.executable, script], cwd=folder, timeout=DEADLINE_S, check=False).returncode == 4


def test_a_task_that_swallows_a_cancellation_does_not_hold_up_the_end(folder: Path) -> None:
    """It is cancelled again, so that the command ends in order."""
    script = folder / "again.py"
    script.write_text(
        "import asyncio\n"
        "from tracker.cli import stopping\n"
        "async def swallows():\n"
        "    try:\n"
        "        await asyncio.sleep(3600)\n"
        "    except asyncio.CancelledError:\n"
        "        await asyncio.sleep(3600)\n"
        "async def main():\n"
        "    asyncio.get_running_loop().swallows = asyncio.create_task(swallows())\n"
        "    await asyncio.sleep(0)\n"
        "    print('ended')\n"
        "stopping.run(main())\n"
    )
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


def test_a_stop_that_hangs_is_told_and_ends(folder: Path) -> None:
    """Something that swallows its cancellation keeps the event loop from its end: after a while the process says where it is, and exits with 4."""
    script = folder / "hangs.py"
    script.write_text(
        "import asyncio, os, signal\n"
        "from tracker.cli import stopping\n"
        "stopping.HANGS_S = 1.0\n"
        "async def swallows():\n"
        "    while True:\n"
        "        try:\n"
        "            await asyncio.sleep(3600)\n"
        "        except asyncio.CancelledError:\n"
        "            pass\n"
        "async def main():\n"
        "    stop = asyncio.Event()\n"
        "    with stopping.on_signals(lambda _: stop.set()):\n"
        "        task = asyncio.create_task(swallows(), name='the deaf one')\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        await stop.wait()\n"
        "stopping.run(main())\n"
    )
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 4
    assert "the stop did not come to its end within 1 s" in done.stderr
    assert "the deaf one: sleep (tasks.py:" in done.stderr
    assert "Traceback" not in done.stderr
