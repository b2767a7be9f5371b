"""A real Kafka broker for the tests, from whatever this machine has: an address, a container, or a JVM.

Ports are chosen before the start, so that a restarted broker answers where it did before. The broker has up to four listeners: plain,
one with SASL (PLAIN and SCRAM, user ``alice``), one with SASL over TLS (where ``openssl`` is there), and one for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests import containers
from tests.ports import free_port

KAFKA_VERSION = "4.1.0"
IMAGE = f"apache/kafka:{KAFKA_VERSION}"
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"
USER, PASSWORD = "alice", "alice-secret"
START_TIMEOUT_S = 90.0
CACHE = Path(__file__).resolve().parents[2] / ".cache"

_PLAIN_JAAS = (
    f'org.apache.kafka.common.security.plain.PlainLoginModule required username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}";'
)
_SCRAM_JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class NoBroker(Exception):
    """This way to get a broker is not open on this machine; the text says why."""


class Broker(Protocol):
    """A running broker. ``restartable`` says whether restart, pause and resume can be used."""

    how: str
    bootstrap: str
    sasl_bootstrap: str | None
    tls_bootstrap: str | None
    ca: Path | None
    """The certificate that signs the TLS listener's."""
    restartable: bool

    def restart(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def stop(self) -> None: ...


def certificate(folder: Path) -> Path | None:
    """A PEM file with key and certificate for 127.0.0.1, made for this run; None without openssl."""
    if shutil.which("openssl") is None:
        return None
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    both = folder / "broker.pem"
    both.write_text(key.read_text() + cert.read_text())
    return both


def with_tls(settings: dict[str, str], port: int, listen: str, keystore: str) -> dict[str, str]:
    """The same settings and a listener with SASL over TLS."""
    return settings | {
        "listeners": f"{settings['listeners']},{listen}",
        "advertised.listeners": f"{settings['advertised.listeners']},TLS://127.0.0.1:{port}",
        "listener.security.protocol.map": f"{settings['listener.security.protocol.map']},TLS:SASL_SSL",
        "listener.name.tls.ssl.keystore.type": "PEM",
        "listener.name.tls.ssl.keystore.location": keystore,
        "listener.name.tls.plain.sasl.jaas.config": _PLAIN_JAAS,
        "listener.name.tls.scram-sha-256.sasl.jaas.config": _SCRAM_JAAS,
        "listener.name.tls.scram-sha-512.sasl.jaas.config": _SCRAM_JAAS,
    }


def properties(port: int, sasl_port: int, listen: str, inner: int, controller: int) -> dict[str, str]:
    """The broker's settings. Short delays, so that tests of sessions, compaction and retention take seconds."""
    return {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.quorum.voters": f"1@localhost:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{listen},CONTROLLER://localhost:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl_port},BROKER://localhost:{inner}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl.plain.sasl.jaas.config": _PLAIN_JAAS,
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": _SCRAM_JAAS,
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": _SCRAM_JAAS,
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "auto.create.topics.enable": "false",
        "log.cleaner.backoff.ms": "200",
        "log.retention.check.interval.ms": "500",
        "log.initial.task.delay.ms": "500",
        "file.delete.delay.ms": "500",
    }


def wait_until_ready(bootstrap: str, dead: object = None) -> None:
    """Return when the broker takes a record, raise TimeoutError after START_TIMEOUT_S, RuntimeError when its process ended."""

    async def answers() -> None:
        async with AIOKafkaAdminClientClosing(bootstrap) as admin:
            await admin.describe_cluster()

    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            asyncio.run(asyncio.wait_for(answers(), 5))
            return
        except (KafkaError, OSError, TimeoutError):
            if isinstance(dead, subprocess.Popen) and dead.poll() is not None:
                raise RuntimeError(f"the broker ended with code {dead.returncode}") from None
            if time.monotonic() > deadline:
                raise TimeoutError(f"no broker at {bootstrap} after {START_TIMEOUT_S:.0f} s") from None
            time.sleep(0.2)


class AIOKafkaAdminClientClosing:
    """An admin client as a context manager that is closed even where its start failed."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    async def __aenter__(self) -> AIOKafkaAdminClient:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=20_000)
        try:
            await self._admin.start()
        except BaseException:
            await self._admin.close()
            raise
        return self._admin

    async def __aexit__(self, *_: object) -> None:
        await self._admin.close()


class GivenBroker:
    """The broker that TRACKER_TEST_KAFKA names; it is not ours to restart."""

    restartable = False
    how: str
    bootstrap: str
    sasl_bootstrap: str | None = None
    tls_bootstrap: str | None = None
    ca: Path | None = None

    def __init__(self) -> None:
        address = os.environ.get("TRACKER_TEST_KAFKA")
        if not address:
            raise NoBroker("TRACKER_TEST_KAFKA is not set")
        self.bootstrap = address
        self.how = f"given, {address}"
        wait_until_ready(address)

    def restart(self) -> None:
        raise NoBroker("a given broker can't be restarted")

    pause = resume = restart

    def stop(self) -> None:
        pass


class ContainerBroker:
    """apache/kafka in a container with fixed ports."""

    restartable = True

    def __init__(self) -> None:
        if shutil.which("docker") is None or os.environ.get("TRACKER_TEST_NO_DOCKER"):
            raise NoBroker("docker is not there")
        if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
            pulled = subprocess.run(["docker", "pull", "-q", IMAGE], capture_output=True, check=False)
            if pulled.returncode:
                raise NoBroker(f"docker has no image {IMAGE}: {pulled.stderr.decode(errors='replace').strip()[:200]}")
        os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        from testcontainers.core.container import DockerContainer

        port, sasl_port, tls_port = free_port(), free_port(), free_port()
        self._secrets = tempfile.TemporaryDirectory()
        keystore = certificate(Path(self._secrets.name))
        listen = "PLAINTEXT://:9092,BROKER://:9093,SASL://:9095"
        container = DockerContainer(IMAGE)
        ports: Any = container.ports
        ports.update(
            {"9092/tcp": ("127.0.0.1", port), "9095/tcp": ("127.0.0.1", sasl_port), "9096/tcp": ("127.0.0.1", tls_port)}
        )  # with_bind_ports opens all interfaces
        # The start script writes its configuration over files that some builds of the image carry read-only.
        container.with_command(["sh", "-c", "chmod -f u+w /opt/kafka/config/* /etc/kafka/docker/*; exec /etc/kafka/docker/run"])
        container.with_env("CLUSTER_ID", CLUSTER_ID).with_env("KAFKA_HEAP_OPTS", "-Xmx512m -Xms128m")
        settings = properties(port, sasl_port, listen, inner=9093, controller=9094)
        self.tls_bootstrap: str | None = None
        self.ca: Path | None = None
        if keystore is not None:
            settings = with_tls(settings, tls_port, "TLS://:9096", "/etc/kafka/secrets/broker.pem")
            container.with_copy_into_container(keystore.read_bytes(), "/etc/kafka/secrets/broker.pem", 0o644)
            self.tls_bootstrap, self.ca = f"127.0.0.1:{tls_port}", keystore.with_name("cert.pem")
        for name, value in settings.items():
            mapped = name.replace("_", "__").replace("-", "___").replace(".", "_").upper()
            container.with_env(f"KAFKA_{mapped}", value)
        self._container = container
        self.bootstrap = f"127.0.0.1:{port}"
        self.sasl_bootstrap: str | None = f"127.0.0.1:{sasl_port}"
        self.how = f"container, {IMAGE}"
        container.start()
        try:
            wait_until_ready(self.bootstrap)
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                added = container.exec(
                    "/opt/kafka/bin/kafka-configs.sh --bootstrap-server localhost:9093 --alter --entity-type users --entity-name "
                    f"{USER} --add-config {mechanism}=[iterations=4096,password={PASSWORD}]"
                )
                assert added.exit_code == 0, added.output
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        containers.restart(self._container.get_wrapped_container().id, grace_s=15)
        wait_until_ready(self.bootstrap)

    def pause(self) -> None:
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        self._container.get_wrapped_container().unpause()

    def stop(self) -> None:
        self._container.stop()
        self._secrets.cleanup()


class LocalBroker:
    """A broker in a JVM of this machine, from Maven's jars, kept in .cache/."""

    restartable = True

    def __init__(self) -> None:
        java, mvn = shutil.which("java"), shutil.which("mvn")
        if java is None or mvn is None:
            raise NoBroker("java (17 or newer) and mvn are not both there")
        version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
        major = version.partition('"')[2].partition(".")[0].partition('"')[0]
        if not major.isdigit() or int(major) < 17:
            raise NoBroker(f"java is {major or 'unknown'}, not 17 or newer")
        self._java, self._jars = java, _jars(mvn)
        self._port, self._sasl_port = free_port(), free_port()
        inner, controller = free_port(), free_port()
        self._home = CACHE / f"kafka-run-{self._port}"
        self._home.mkdir(parents=True)
        listen = f"PLAINTEXT://127.0.0.1:{self._port},BROKER://localhost:{inner},SASL://127.0.0.1:{self._sasl_port}"
        settings = properties(self._port, self._sasl_port, listen, inner, controller) | {"log.dirs": str(self._home / "data")}
        self.tls_bootstrap: str | None = None
        self.ca: Path | None = None
        if (keystore := certificate(self._home)) is not None:
            tls_port = free_port()
            settings = with_tls(settings, tls_port, f"TLS://127.0.0.1:{tls_port}", str(keystore))
            self.tls_bootstrap, self.ca = f"127.0.0.1:{tls_port}", keystore.with_name("cert.pem")
        self._config = self._home / "server.properties"
        self._config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self.bootstrap = f"127.0.0.1:{self._port}"
        self.sasl_bootstrap: str | None = f"127.0.0.1:{self._sasl_port}"
        self.how = f"JVM, kafka_2.13 {KAFKA_VERSION}"
        scram = [
            f"--add-scram={mechanism}=[name={USER},iterations=4096,password={PASSWORD}]" for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        self._run("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._config), *scram).wait(60)
        self._process = self._run("kafka.Kafka", str(self._config))
        try:
            wait_until_ready(self.bootstrap, self._process)
        except BaseException:
            self.stop()
            raise

    def _run(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._home / "broker.log").open("ab") as log:
            command = [self._java, "-Xmx512m", "-cp", f"{self._jars}/*", main, *arguments]
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def restart(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._process = self._run("kafka.Kafka", str(self._config))
        wait_until_ready(self.bootstrap, self._process)

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait(30)
        shutil.rmtree(self._home, ignore_errors=True)


def _jars(mvn: str) -> Path:
    folder = CACHE / f"kafka-{KAFKA_VERSION}"
    if (folder / "complete").exists():
        return folder / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>tracker</groupId><artifactId>broker</artifactId><version>1</version>"
        f"<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>"
        "</dependency></dependencies></project>"
    )
    command = [mvn, "-q", "-B", "-f", str(folder / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoBroker(f"mvn could not fetch the broker: {(done.stdout + done.stderr).strip()[:300]}")
    (folder / "complete").touch()
    return folder / "jars"


def start_broker() -> Broker:
    """The first broker that this machine can give. Raises NoBroker with every reason."""
    reasons = []
    ways: tuple[Callable[[], Broker], ...] = (GivenBroker, ContainerBroker, LocalBroker)
    for way in ways:
        try:
            broker = way()
        except NoBroker as reason:
            reasons.append(str(reason))
        else:
            return broker
    raise NoBroker("; ".join(reasons))


async def produce(bootstrap: str, topic: str, values: list[bytes | None], partition: int | None = 0, **options: object) -> None:
    """Write values to one partition, in order, in as few batches as the producer makes."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **options) as producer:
        sent = [await producer.send(topic, value, key=b"k", partition=partition) for value in values]
        await asyncio.gather(*sent)


@contextlib.asynccontextmanager
async def transaction(bootstrap: str, name: str):
    """A transactional producer with an open transaction; whoever uses it commits or aborts."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=name, acks="all")
    await producer.start()
    try:
        await producer.begin_transaction()
        yield producer
    finally:
        await producer.stop()
