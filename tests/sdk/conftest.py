"""A real worker and real servers over one store, and what each flavour of the SDK saw of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from . import expected, workload
from .venvs import required

READY_TIMEOUT_S = 60
DRIVER_TIMEOUT_S = 300
SDKS = {"v1": "sailpoint-2.1.72"} | dict.fromkeys(workload.FLAVOURS[1:], "sailpoint-1.4.2")
"""The SDK that has a flavour's module, as `requirements/` has it."""
WRITER, READER = ("writer", "the writer's secret"), ("reader", "the reader's secret")
TOKEN = "a-token-made-elsewhere"
ACCESS = f"""
[[token]]
name = "dashboard"
token = "{TOKEN}"
scopes = ["read"]

[[client]]
id = "{WRITER[0]}"
secret = "{WRITER[1]}"
scopes = ["read", "write"]

[[client]]
id = "{READER[0]}"
secret = "{READER[1]}"
scopes = ["idn:task-management:read"]
"""
PREFIX = "/tracker"
BURST = 20
RATE = 5
"""Requests in ten seconds that the slow server allows."""

Report = dict[str, Any]
Reports = Callable[[str], Report]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder carry the marker: they need a package index once."""
    for item in items:
        if "/tests/sdk/" in item.path.as_posix():
            item.add_marker("services")


@contextmanager
def tracker(folder: Path, name: str, *arguments: str) -> Iterator[Path]:
    """A process of the command line while inside; gives the file that it logs to."""
    log = folder / f"{name}.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRACKER_")}
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "tracker", *arguments], cwd=folder, stdout=file, stderr=file, env=environment)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(what: Callable[[], Any], logs: list[Path]) -> Any:
    """What this gives once it gives something. Fails after a minute with what the processes said."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    said = "\n".join(log.read_text(encoding="utf-8") for log in logs)
    pytest.fail(f"not ready within {READY_TIMEOUT_S} s; the processes said:\n{said}")


def url_in(log: Path) -> str:
    """Where a server that logs JSON says that it answers."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and "url" in (said := json.loads(line)):
            return str(said["url"]).removesuffix(PREFIX)
    return ""


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The URLs of five servers over one store: ``open`` (no log to write to), ``unlocked`` (with the log), ``locked`` (with logins, too), ``brief`` (with
    tokens of a second) and ``slow`` (few
    requests a second), filled by a worker that follows the log.
    """
    folder = tmp_path_factory.mktemp("sdk")
    workload.write(folder / "events.jsonl")
    store = ("--store", "sqlite:///status.db")
    answers = ("--listen", "127.0.0.1:0", "--log-format", "json", *store)
    for name, text in (("access.toml", ACCESS), ("brief.toml", f"token_lifetime_s = 1\n{ACCESS}")):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o600)
    with ExitStack() as stack:

        def started(name: str, *arguments: str) -> Path:
            return stack.enter_context(tracker(folder, name, *arguments))

        worker = started("worker", "run", "--source", "events.jsonl", "--follow", *store)
        wait_for((folder / "status.db").exists, [worker])
        logs = {
            "open": started("open", "serve", *answers, "--rate", "0"),
            "unlocked": started("unlocked", "serve", *answers, "--rate", "0", "--source", "events.jsonl", "--root-path", PREFIX),
            "locked": started("locked", "serve", *answers, "--rate", "0", "--source", "events.jsonl", "--access", "access.toml"),
            "brief": started("brief", "serve", *answers, "--rate", "0", "--access", "brief.toml"),
            "slow": started("slow", "serve", *answers, "--rate", str(RATE)),
        }
        urls = {name: wait_for(partial(url_in, log), [log]) for name, log in logs.items()}

        def is_filled() -> bool:
            with urllib.request.urlopen(f"{urls['open']}/task-status/v1?count=true&limit=0", timeout=10) as answer:
                return bool(answer.headers["X-Total-Count"] == str(len(workload.all_ids())))

        wait_for(is_filled, [worker, *logs.values()])
        yield urls | {"folder": str(folder)}


@pytest.fixture(scope="session")
def document(served: dict[str, str]) -> Callable[[str], dict[str, Any]]:
    """A task as the command line shows it."""

    def of(task: str) -> dict[str, Any]:
        shown = [sys.executable, "-m", "tracker", "get", task, "--json", "--store", "sqlite:///status.db"]
        found: dict[str, Any] = json.loads(subprocess.run(shown, cwd=served["folder"], capture_output=True, check=True, timeout=60).stdout)
        return found

    return of


@pytest.fixture(scope="session")
def reports(served: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What a flavour of the SDK saw, looked at once."""
    made: dict[str, Report] = {}

    def report(flavour: str) -> Report:
        if flavour not in made:
            made[flavour] = _driven(flavour, served, tmp_path_factory.mktemp(flavour))
        return made[flavour]

    return report


@pytest.fixture(params=workload.FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    """``v1`` is the SDK 2.1.72, the others are modules of 1.4.2."""
    return str(request.param)


@pytest.fixture
def report(flavour: str, reports: Reports) -> Report:
    """What this flavour saw."""
    return reports(flavour)


def _driven(flavour: str, served: dict[str, str], folder: Path) -> Report:
    python = required(SDKS[flavour]) / "python"
    plan = {
        **served,
        "writer": WRITER,
        "reader": READER,
        "token": TOKEN,
        "full": workload.FULL,
        "extreme": workload.EXTREME,
        "odd": workload.ODD,
        "prefix": PREFIX,
        "running": workload.running_id(flavour),
        "burst": BURST,
        "filters": expected.filters(flavour),
        "sorted": expected.SORTED,
        "counted": expected.COUNTED,
    }
    done = subprocess.run(
        [str(python), str(Path(__file__).parent / "driver.py"), flavour],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=DRIVER_TIMEOUT_S,
        cwd=folder,  # where no config.json is
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: Report = json.loads(done.stdout)
    return seen
