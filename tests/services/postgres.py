"""A real PostgreSQL server for the tests, from whatever this machine has: an address, a container, or installed server binaries."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

import psycopg

from tests import containers
from tests.ports import free_port

PASSWORD = "correct-horse"
SETTINGS = {"max_connections": "60", "fsync": "off", "shared_buffers": "128MB"}
"""No test pulls the plug: what is lost with fsync off is lost with the machine alone."""
START_TIMEOUT_S = 60.0
SMALL_DISK = "/small"
"""In a container: a disk that is soon full."""


class NoServer(Exception):
    """This way to get a server is not open on this machine; the text says why."""


class Server(Protocol):
    """A running server."""

    how: str
    url: str
    """Of a superuser, without a database."""
    restartable: bool

    def restart(self) -> None: ...

    def stop(self) -> None: ...


def new_database(server: Server, name: str | None = None) -> str:
    """The URL of a new database."""
    name = name or f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server.url}/{name}"


def drop_database(server: Server, url: str) -> None:
    """Away with it, whoever is connected."""
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')


def answering(url: str) -> None:
    """Wait until the server takes connections."""
    deadline = monotonic() + START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(f"{url}/postgres", connect_timeout=3).close()
            return
        except psycopg.OperationalError:
            if monotonic() > deadline:
                raise
            sleep(0.1)


class Given:
    """A server that somebody else runs: ``TRACKER_TEST_POSTGRES=postgresql://user:password@host:port``, for every version."""

    restartable = False

    def __init__(self) -> None:
        self.url = os.environ.get("TRACKER_TEST_POSTGRES", "").rstrip("/")
        if not self.url:
            raise NoServer("TRACKER_TEST_POSTGRES names none")
        self.how = "as TRACKER_TEST_POSTGRES says"
        answering(self.url)

    def restart(self) -> None:
        """Not ours."""
        raise NotImplementedError

    def stop(self) -> None:
        """Not ours."""


class Container:
    """``postgres:VERSION`` in docker; its port stays the same over a restart."""

    restartable = True

    def __init__(self, version: int) -> None:
        if shutil.which("docker") is None:
            raise NoServer("there is no docker")
        image, port = f"postgres:{version}", free_port()
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = ["docker", "run", "--detach", "--env", f"POSTGRES_PASSWORD={PASSWORD}", "--tmpfs", f"{SMALL_DISK}:size=24m,mode=1777"]
        made = subprocess.run(
            [*command, "--publish", f"127.0.0.1:{port}:5432", image, *settings], capture_output=True, text=True, timeout=300, check=False
        )
        if made.returncode:
            raise NoServer(f"docker does not start {image}: {made.stderr.strip().splitlines()[-1:]}")
        self._id = made.stdout.strip()
        self.how = f"{image} in docker"
        self.url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}"
        try:
            answering(self.url)
        except BaseException:
            self.stop()
            raise

    def run(self, *command: str, user: str = "postgres") -> subprocess.CompletedProcess[str]:
        """A command inside, as the server's user unless told."""
        return subprocess.run(
            ["docker", "exec", "--user", user, self._id, *command], capture_output=True, text=True, timeout=60, check=True
        )

    def restart(self) -> None:
        """At once, as after a crash."""
        containers.restart(self._id, grace_s=0)
        try:
            answering(self.url)
        except psycopg.OperationalError as error:
            raise RuntimeError(f"{self.how} did not come back: {error}\n{containers.last_words(self._id)}") from error

    def stop(self) -> None:
        """Away with it."""
        subprocess.run(["docker", "rm", "--force", "--volumes", self._id], capture_output=True, timeout=60, check=False)


class Installed:
    """``initdb`` and ``postgres`` of this machine. They refuse to run as root, so root lends them to ``nobody``."""

    restartable = True

    def __init__(self, version: int) -> None:
        folders = [Path(f"/usr/lib/postgresql/{version}/bin"), *map(Path, os.environ.get("PATH", "").split(os.pathsep))]
        found = next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)
        if found is None:
            raise NoServer("no server binaries (initdb, postgres) are installed")
        told = subprocess.run([str(found / "postgres"), "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
        if told.split()[-1].split(".")[0] != str(version) and f" {version}." not in told:
            raise NoServer(f"the installed server is {told.strip()}, not {version}")
        self._folder = Path(tempfile.mkdtemp(prefix="tracker-postgres-"))
        self._port = free_port()
        self._as = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self._folder, 65534, 65534)
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._data = self._folder / "data"
        initdb = [str(found / "initdb"), "--pgdata", str(self._data), "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"]
        subprocess.run([*self._as, *initdb, "--pwfile", str(secret)], capture_output=True, timeout=60, check=True)
        self._command = [*self._as, str(found / "postgres"), "-D", str(self._data), "-p", str(self._port), "-k", str(self._folder)]
        self._command += [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self.how = told.strip()
        self.url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self._port}"
        self._start()

    def _start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        answering(self.url)

    def restart(self) -> None:
        """At once, as after a crash."""
        self._process.send_signal(3)  # SIGQUIT: no checkpoint, so the next start recovers
        self._process.wait(30)
        self._start()

    def stop(self) -> None:
        """Away with it and its files."""
        self._process.send_signal(3)
        self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)


def start_server(version: int) -> Server:
    """The first way that is open. Raises `NoServer` with all reasons."""
    ways: list[Callable[[], Server]] = [Given, lambda: Container(version), lambda: Installed(version)]
    reasons = []
    for way in ways:
        try:
            return way()
        except (NoServer, OSError, subprocess.SubprocessError, psycopg.Error) as reason:
            reasons.append(str(reason))
    raise NoServer("; ".join(reasons))


def stopped(server: Server) -> None:
    """Stop it, and say nothing if it is gone already."""
    with suppress(OSError, subprocess.SubprocessError):
        server.stop()
