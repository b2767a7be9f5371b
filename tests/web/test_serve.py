"""`tracker serve` and `tracker run --serve` as processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.query_store import commit, event, ids
from tracker.cli import main
from tracker.stores.open import open_store

pytestmark = pytest.mark.slow
DEADLINE_S = 30.0
STOP_S = 5.0
TOKEN = "a-token-of-16-and-more"
ACCESS = f'[[token]]\nname = "operator"\ntoken = "{TOKEN}"\nscopes = ["read", "write"]\n'


class Server:
    """A process that answers at ``client``."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        command = [sys.executable, "-m", "tracker", *arguments, "--log-format", "json", "--log-level", "debug"]
        self.process = subprocess.Popen(
            command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=kept | environment
        )
        self.lines: list[dict[str, Any]] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("{"):
                self.lines.append(json.loads(line))
                if self.lines[-1]["event"] == "web.started":
                    break
        else:
            pytest.fail(f"it ended: {self.process.wait()}")
        self.url: str = self.lines[-1]["url"]
        self.client = httpx.Client(base_url=self.url, timeout=DEADLINE_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float, str]:
        """Its exit code, the seconds that it took to end, and what else it said."""
        began = time.monotonic()
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, time.monotonic() - began, said


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a command in the test's folder; what is left at the end is killed."""
    started: list[Server] = []

    def run(*arguments: str, **environment: str) -> Server:
        started.append(Server(tmp_path, *arguments, **environment))
        return started[-1]

    yield run
    for server in started:
        server.client.close()
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``status.db``, to work in."""
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///status.db") as store:
        commit(store, [event("t", "created")])
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """A command's exit code and its one sentence."""
    code = main(arguments)
    said = capsys.readouterr().err
    assert said.startswith("tracker: ")
    assert said.count("\n") == 1
    return code, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve(folder: Path, start: Start, number: signal.Signals) -> None:
    """Answers over a store that is there, says where, and ends by a signal with exit code 0."""
    assert folder.exists()
    server = start("serve", "--listen", "127.0.0.1:0")
    assert ids(server.client.get("/task-status/v1").json()) == ["t"]
    code, seconds, _ = server.stop(number)
    assert (code, seconds < STOP_S) == (0, True)


def test_it_ends_although_a_stream_is_open(folder: Path, start: Start) -> None:
    """An answer without an end is ended."""
    assert folder.exists()
    server = start("serve", "--listen", "127.0.0.1:0")
    with server.client.stream("GET", "/api/changes") as answer:
        next(answer.iter_lines())
        code, seconds, _ = server.stop()
    assert (code, seconds < STOP_S) == (0, True)


def test_run_and_serve_in_one_process(tmp_path: Path, start: Start) -> None:
    """The projector and the server share a loop: what is corrected over HTTP goes into the log and comes back folded."""
    write(tmp_path, "created", "launched")
    server = start("run", "--follow", "--serve", "127.0.0.1:0")
    until(lambda: server.client.get("/task-status/v1/t").status_code == 200)
    patch = [{"op": "replace", "path": "/completionStatus", "value": "Error"}]
    assert server.client.patch("/task-status/v1/t", json=patch).json()["completionStatus"] == "ERROR"
    assert "tracker_batch_records" in server.client.get("/metrics").text
    code, seconds, _ = server.stop()
    assert (code, seconds < STOP_S) == (0, True)


def test_a_store_in_memory_is_served_by_the_process_that_fills_it(tmp_path: Path, start: Start) -> None:
    """Nobody else could; corrections work there as well."""
    write(tmp_path, "created", "launched")
    server = start("run", "--follow", "--store", "memory://", "--serve", "127.0.0.1:0")
    until(lambda: ids(server.client.get("/task-status/v1").json()) == ["t"])
    patch = [{"op": "replace", "path": "/completionStatus", "value": "Success"}]
    assert server.client.patch("/task-status/v1/t", json=patch).json()["percentComplete"] == 100


def test_the_server_ends_with_the_run(tmp_path: Path, start: Start) -> None:
    """`--until-end` ends both."""
    write(tmp_path, "created")
    server = start("run", "--until-end", "--serve", "127.0.0.1:0")
    _, said = server.process.communicate(timeout=DEADLINE_S)
    assert server.process.returncode == 0
    assert "run.stopped" in said


def test_a_login_from_the_environment(folder: Path, start: Start) -> None:
    """TRACKER_TOKEN lets it listen at all addresses, and stands in no log line."""
    assert folder.exists()
    server = start("serve", "--listen", "0.0.0.0:0", TRACKER_TOKEN=TOKEN)
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    assert httpx.get(f"{url}/task-status/v1").status_code == 401
    assert httpx.get(f"{url}/task-status/v1", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert TOKEN not in json.dumps(server.lines) + server.stop()[2]


def test_settings_of_the_environment(folder: Path, start: Start) -> None:
    """Each option has its variable."""
    (folder / "access.toml").write_text(ACCESS)
    server = start("serve", TRACKER_LISTEN="127.0.0.1:0", TRACKER_ACCESS="access.toml", TRACKER_ROOT_PATH="/tracker", TRACKER_RATE="1")
    assert server.url.endswith("/tracker")
    answers = [server.client.get("/task-status/v1", headers={"Authorization": f"Bearer {TOKEN}"}).status_code for _ in range(2)]
    assert answers == [200, 429]


def test_forwarded_addresses_are_believed_of_named_proxies_alone(folder: Path, start: Start) -> None:
    """In the log, and for the rate: else anybody could write another's address there."""
    assert folder.exists()
    for option, shown in ((), "127.0.0.1"), (("--forwarded-from", "127.0.0.1"), "203.0.113.9"):
        server = start("serve", "--listen", "127.0.0.1:0", *option, TRACKER_TOKEN=TOKEN)
        server.client.get("/task-status/v1", headers={"X-Forwarded-For": "203.0.113.9"})
        assert f"to {shown}" in server.stop()[2]


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_other_addresses_need_a_login(folder: Path, capsys, address: str) -> None:
    """It does not start without one, and says what to give."""
    assert folder.exists()
    code, said = fails(capsys, "serve", "--listen", address)
    assert code == 2
    assert "needs a login" in said


@pytest.mark.parametrize("address", ["8080", "localhost", "localhost:x", "localhost:65536", "::1:80", ":80", "no such host.invalid:80"])
def test_an_address_that_is_none(folder: Path, capsys, address: str) -> None:
    """One sentence with the form that was expected."""
    assert folder.exists()
    assert fails(capsys, "serve", "--listen", address)[0] == 2


@pytest.mark.parametrize(
    "option",
    [
        ("--root-path", "tracker"),
        ("--root-path", "/a b"),
        ("--rate", "-1"),
        ("--rate", "x"),
        ("--host-name", "a:1"),
        ("--host-name", "a,,b"),
        ("--access", ""),
    ],
)
def test_settings_that_cannot_be(folder: Path, capsys, option: tuple[str, str]) -> None:
    """One sentence with what was expected."""
    assert folder.exists()
    code, said = fails(capsys, "serve", *option)
    assert code == 2
    assert option[0] in said


def test_a_port_that_is_taken(folder: Path, capsys) -> None:
    """One sentence for serve and for run, and what to do."""
    (folder / "events.jsonl").touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        for command in (["serve", "--listen", address], ["run", "--serve", address, "--log-level", "error"]):
            code, said = fails(capsys, *command)
            assert code == 1
            assert f"{address} is taken" in said


def test_a_store_that_is_not_there(folder: Path, capsys) -> None:
    """One sentence naming it; none is made."""
    code, said = fails(capsys, "serve", "--store", "sqlite:///nothing.db", "--listen", "127.0.0.1:0")
    assert code == 1
    assert "nothing.db" in said
    assert not (folder / "nothing.db").exists()


def test_a_store_in_memory_cannot_be_served_alone(folder: Path, capsys) -> None:
    """It lives in the process that fills it: `run --serve`."""
    assert folder.exists()
    assert fails(capsys, "serve", "--store", "memory://")[0] == 2


def test_an_access_file_that_others_can_read(folder: Path) -> None:
    """A warning with the command that mends it; it starts all the same."""
    path = folder / "access.toml"
    path.write_text(ACCESS)
    for mode, warned in ((0o644, True), (0o600, False)):
        path.chmod(mode)
        process = subprocess.Popen(
            [sys.executable, "-m", "tracker", "serve", "--listen", "127.0.0.1:0", "--access", str(path)], stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        first = process.stderr.readline()
        process.terminate()
        process.communicate(timeout=DEADLINE_S)
        assert ("chmod 600" in first) is warned


def test_the_extra_is_named_where_it_is_missing(folder: Path, capsys, monkeypatch) -> None:
    """One sentence with what to install."""
    assert folder.exists()
    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("tracker.web.")]:
        monkeypatch.delitem(sys.modules, name)
    code, said = fails(capsys, "serve", "--listen", "127.0.0.1:0")
    assert code == 2
    assert "pip install 'tracker[web]'" in said


def write(folder: Path, *kinds: str) -> None:
    """Events of task t into ``events.jsonl``."""
    base = {"specversion": "1.0", "source": "/test", "subject": "t", "time": "2026-01-01T00:00:00Z"}
    lines = [json.dumps({**base, "id": kind, "type": f"io.tracker.task.{kind}"}) + "\n" for kind in kinds]
    (folder / "events.jsonl").write_text("".join(lines))


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
