"""`tracker run --dashboard` and `tracker demo`: the dashboard at its usual address or near it, and the address said."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.web.reading_pages import Page
from tracker.cli.running import DASHBOARD
from tracker.cli.serving import OTHER_PORTS
from tracker.errors import TrackerError, UsageError
from tracker.web.server import listening_near

DEADLINE_S = 30.0
PORT = int(DASHBOARD.rpartition(":")[2])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[str, subprocess.Popen[str]]]]:
    """Starts a command in a folder of its own and gives the address that it says; what is left at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> tuple[str, subprocess.Popen[str]]:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")} | {"TRACKER_LOG_FORMAT": "json"}
        command = [sys.executable, "-m", "tracker", *arguments]
        process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=kept)
        started.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("{") and json.loads(line)["event"] == "web.started":
                return json.loads(line)["url"], process
            if "no dashboard" in line:
                pytest.skip(f"ports {PORT} to {PORT + OTHER_PORTS} of this machine are taken: {line}")
        pytest.fail(f"it ended: {process.wait()}")

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.slow
def test_two_runs_have_a_dashboard_each(start) -> None:
    """The second one at the next free port; both say where, show tasks, and end by a signal with exit code 0."""
    runs = [start("run", "--follow", "--simulate-if-missing", "--dashboard") for _ in range(2)]
    ports = [int(url.rpartition(":")[2]) for url, _ in runs]
    assert PORT <= ports[0] != ports[1] <= PORT + OTHER_PORTS
    for url, process in runs:
        assert "match" in Page(httpx.get(url, timeout=DEADLINE_S).text).with_id("total").text
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0


@pytest.mark.slow
def test_a_demo_has_one(start) -> None:
    """With tasks in it as soon as it answers, or a moment later."""
    url, _ = start("demo")
    assert "Running" in Page(httpx.get(url, timeout=DEADLINE_S).text).with_id("chips").text


def test_the_next_free_port_will_do() -> None:
    """Where the one that is asked for is taken; with no other to try it is an error, and an address that can't be always is."""
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = taken.getsockname()[1]
        opened = stack.enter_context(listening_near(f"127.0.0.1:{port}", 50))
        assert port < opened.getsockname()[1] <= port + 50
        with pytest.raises(TrackerError, match=f"127.0.0.1:{port} is taken"):
            listening_near(f"127.0.0.1:{port}", 0)
        with pytest.raises(UsageError):
            listening_near("nonsense", 5)
