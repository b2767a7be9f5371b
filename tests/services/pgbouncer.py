"""A real PgBouncer in transaction mode before a server: installed on this machine, or in a container made from Debian's package."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import Self
from urllib.parse import urlsplit

import psycopg

from tests.ports import free_port

from .postgres import NoServer, Server

POOL = 3
"""Connections to the server: fewer than the tests have to PgBouncer, so that transactions change over between them."""
IMAGE = "tracker-test-pgbouncer"
_DOCKERFILE = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends pgbouncer && rm -rf /var/lib/apt/lists/*
"""


def _settings(server: Server, host: str, port: int, listen: int) -> str:
    parts = urlsplit(server.url)
    return (
        f"[databases]\n* = host={host} port={port} user={parts.username} password={parts.password}\n"
        f"[pgbouncer]\nlisten_addr = 0.0.0.0\nlisten_port = {listen}\nauth_type = any\npool_mode = transaction\n"
        f"default_pool_size = {POOL}\nmax_client_conn = 200\nserver_reset_query = DISCARD ALL\n"
    )


class PgBouncer:
    """Running; a context manager. Raises `NoServer` where there is none."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="tracker-pgbouncer-"))
        self._folder.chmod(0o755)
        port = free_port()
        self.url = f"postgresql://anyone@127.0.0.1:{port}"
        container = getattr(server, "_id", None)
        self._stop: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        if container is None and shutil.which("pgbouncer"):
            parts = urlsplit(server.url)
            config = self._write(_settings(server, "127.0.0.1", parts.port or 5432, port))
            self._process = subprocess.Popen(["pgbouncer", "-u", "nobody", str(config)])
        elif container is not None:
            _run("docker", "build", "--tag", IMAGE, "-", given=_DOCKERFILE)
            told = _run("docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)
            config = self._write(_settings(server, told.strip(), 5432, 6432))
            mounted = ("--volume", f"{self._folder}:/etc/tracker:ro", "--publish", f"127.0.0.1:{port}:6432")
            made = _run("docker", "run", "--detach", *mounted, "--user", "nobody", IMAGE, "pgbouncer", f"/etc/tracker/{config.name}")
            self._stop = ["docker", "rm", "--force", "--volumes", made.strip()]
        else:
            raise NoServer("there is no pgbouncer, and no container of the server's to build one beside")

    def _write(self, text: str) -> Path:
        config = self._folder / "pgbouncer.ini"
        config.write_text(text)
        config.chmod(0o644)
        return config

    def __enter__(self) -> Self:
        deadline = monotonic() + 30
        while True:
            try:
                psycopg.connect(f"{self.url}/postgres", connect_timeout=3).close()
                return self
            except psycopg.OperationalError:
                if monotonic() > deadline:
                    self.__exit__()
                    raise
                sleep(0.1)

    def __exit__(self, *error: object) -> None:
        if self._stop:
            subprocess.run(self._stop, capture_output=True, timeout=60, check=False)
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)


def _run(*command: str, given: str | None = None) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise NoServer(f"{' '.join(command[:2])}: {done.stderr.strip()[-300:]}")
    return done.stdout
