"""The broker and the database of a chaos run, in containers whose ports stay over a restart. Driven by the docker command line."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.containers import restart
from tests.ports import free_port
from tests.services.kafka import CLUSTER_ID, IMAGE, properties, wait_until_ready

POSTGRES = "postgres:17"
START_S = 60.0


class NoDocker(Exception):
    """There is no docker, or an image is missing; the text says which."""


def docker(*arguments: str, check: bool = True, timeout_s: float = 120.0) -> str:
    """One command's output; `NoDocker` where there is none."""
    if shutil.which("docker") is None:
        raise NoDocker("docker is not there")
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout_s)
    if check and done.returncode:
        raise NoDocker(f"docker {' '.join(arguments[:2])} failed: {done.stderr.strip()[:300]}")
    return done.stdout.strip()


class Container:
    """One container, removed at the end."""

    id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        docker("rm", "-fv", self.id, check=False)

    def run(self, image: str, *options: str, command: tuple[str, ...] = ()) -> None:
        """Start it; there is an image of that name."""
        docker("image", "inspect", image)
        self.id = docker("run", "-d", *options, image, *command)

    def execute(self, *command: str, check: bool = True) -> str:
        """A command inside."""
        return docker("exec", self.id, *command, check=check)

    def restart(self) -> None:
        """In order, and up again."""
        restart(self.id, grace_s=10)

    def kill(self) -> None:
        """End all that is in it by SIGKILL."""
        docker("kill", self.id, check=False)

    def start(self) -> None:
        """Up again."""
        docker("start", self.id)

    @property
    def logs(self) -> str:
        """What it said."""
        return docker("logs", "--tail", "50", self.id, check=False)


@dataclass
class Listener:
    """A listener of a broker for one worker: clients are told to come to ``advertised``, a proxy's port, which leads to ``port``."""

    name: str
    advertised: int
    port: int = field(default_factory=free_port)


class Kafka(Container):
    """A broker with a listener for us and one for each name of ``advertised``, where clients find the port given."""

    def __init__(self, advertised: dict[str, int]) -> None:
        port = free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self.listeners = {name: Listener(name, at) for name, at in advertised.items()}
        settings = properties(port, free_port(), "PLAINTEXT://:9092,BROKER://:9093", inner=9093, controller=9094)
        inside = {name: 19_100 + number for number, name in enumerate(self.listeners)}
        settings["listeners"] = "PLAINTEXT://:9092,BROKER://localhost:9093,CONTROLLER://localhost:9094" + "".join(
            f",{name.upper()}://:{inside[name]}" for name in inside
        )
        settings["advertised.listeners"] = f"PLAINTEXT://127.0.0.1:{port},BROKER://localhost:9093" + "".join(
            f",{each.name.upper()}://127.0.0.1:{each.advertised}" for each in self.listeners.values()
        )
        settings["listener.security.protocol.map"] = "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT" + "".join(
            f",{name.upper()}:PLAINTEXT" for name in inside
        )
        settings = {name: value for name, value in settings.items() if "sasl" not in name}
        published = [f"127.0.0.1:{port}:9092", *(f"127.0.0.1:{each.port}:{inside[name]}" for name, each in self.listeners.items())]
        self.run(
            IMAGE,
            *(option for at in published for option in ("-p", at)),
            *_environment(settings),
            command=("sh", "-c", "chmod -f u+w /opt/kafka/config/* /etc/kafka/docker/*; exec /etc/kafka/docker/run"),
        )
        try:
            wait_until_ready(self.bootstrap)
        except BaseException:
            docker("rm", "-fv", self.id, check=False)
            raise

    @property
    def targets(self) -> dict[str, tuple[str, int]]:
        """Where a proxy forwards each listener to."""
        return {name: ("127.0.0.1", each.port) for name, each in self.listeners.items()}


def _environment(settings: dict[str, str]) -> list[str]:
    told = ["-e", f"CLUSTER_ID={CLUSTER_ID}", "-e", "KAFKA_HEAP_OPTS=-Xmx512m -Xms128m"]
    for name, value in settings.items():
        mapped = name.replace("_", "__").replace("-", "___").replace(".", "_").upper()
        told += ["-e", f"KAFKA_{mapped}={value}"]
    return told


class Postgres(Container):
    """A server with a database and a role ``tracker`` that is no superuser.

    ``tables_mb``: the database's tables are on a file system of that size, ``/small``. The server's log is not: with that full, it ends.
    """

    def __init__(self, tables_mb: int | None = None) -> None:
        self.port = free_port()
        # On 127.0.0.1 alone, for the length of a test; and it has nothing to keep.
        options = ["-p", f"127.0.0.1:{self.port}:5432", "-e", "POSTGRES_PASSWORD=postgres", "-e", "POSTGRES_HOST_AUTH_METHOD=trust"]
        if tables_mb is not None:
            options += ["--tmpfs", f"/small:size={tables_mb}m"]
        self.run(POSTGRES, "--shm-size", "256m", *options)
        try:
            self.wait()
            self.sql("CREATE ROLE tracker LOGIN PASSWORD 'tracker'")
            where = ""
            if tables_mb is not None:
                docker("exec", "-u", "root", self.id, "sh", "-c", "mkdir /small/tables && chown postgres /small/tables")
                self.sql("CREATE TABLESPACE small LOCATION '/small/tables'")
                where = " TABLESPACE small"
            self.sql(f"CREATE DATABASE tracker OWNER tracker{where}")
        except BaseException:
            docker("rm", "-fv", self.id, check=False)
            raise

    @property
    def url(self) -> str:
        """For whoever looks on: not behind a proxy, and as the superuser, whose connections have no limit."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/tracker"

    def url_at(self, port: int) -> str:
        """For a worker, through a port of this machine."""
        return f"postgresql://tracker@127.0.0.1:{port}/tracker"

    def wait(self) -> None:
        """Until it answers, over TCP: the first start has a temporary server."""
        deadline = time.monotonic() + START_S
        while "accepting" not in self.execute("pg_isready", "-h", "127.0.0.1", check=False):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no PostgreSQL after {START_S:.0f} s: {self.logs}")
            time.sleep(0.2)

    def sql(self, statement: str, check: bool = True) -> str:
        """As the superuser."""
        return self.execute("psql", "-h", "127.0.0.1", "-U", "postgres", "-At", "-c", statement, check=check)
