"""No space left: a worker ends with one sentence, nothing of the commit is written, and with room again the next one ends exactly."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.containers import NoDocker, Postgres, docker
from tests.crash.scene import ends_of, fleet, log_of, produce, read_all, stored, tend_until, wrong
from tests.crash.test_lost import make
from tests.services.kafka import Broker
from tracker.stores.open import open_store

SIZE_MB = 40

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False)


def goes_on_after(
    kafka: Broker,
    topic: str,
    url: str,
    worker_url: str,
    path: Path | None,
    folder: Path,
    fill: Callable[[], None],
    free: Callable[[], None],
) -> list[str]:
    """A log half of which comes while the disk is full; what the workers said."""
    asyncio.run(make(kafka, topic))
    produce(kafka.bootstrap, topic, 2_000, seed=1)
    first = log_of(kafka.bootstrap, topic)
    with fleet(kafka.bootstrap, topic, worker_url, folder) as workers:
        workers.start()
        tend_until(workers, read_all(url, path, first), "the first log")
        fill()
        workers.tolerated = {1}
        produce(kafka.bootstrap, topic, 20_000, seed=2)
        log = log_of(kafka.bootstrap, topic)
        tend_until(workers, lambda: sum(worker.starts for worker in workers.workers) >= 4, "two workers that ended")
        assert all(each.counters.balanced for each in stored(url))
        free()
        tend_until(workers, read_all(url, None, log), "the rest of the log")
        assert workers.stop() + workers.complaints() == []
        said = [each["message"] for worker in workers.workers for each in worker.messages()]
    assert wrong(url, log, ends_of(log), folder) == []
    return said


def test_a_full_disk(kafka: Broker, small_disk: Path, tmp_path: Path) -> None:
    """Both workers end with code 1 while the disk is full, over and over; when there is room, they go on to the end."""
    url, ballast = f"sqlite:///{small_disk}/status.db", small_disk / "ballast"

    def fill() -> None:
        left = os.statvfs(small_disk)
        ballast.write_bytes(b"x" * (left.f_bavail * left.f_frsize - 1_000_000))

    said = goes_on_after(kafka, "full-disk", url, url, small_disk / "status.db", tmp_path, fill, ballast.unlink)
    assert any("no space is left" in line and "Make room and start again" in line for line in said)


def test_a_database_without_space(kafka: Broker, tmp_path: Path) -> None:
    """The same where the database's tables have no room to grow."""
    try:
        server = Postgres(tables_mb=SIZE_MB)
    except NoDocker as reason:
        pytest.skip(f"no docker: {reason}")
    with server:

        def fill() -> None:
            docker("exec", "-u", "root", server.id, "sh", "-c", "cat /dev/zero >/small/ballast; true", check=False)

        def free() -> None:
            docker("exec", "-u", "root", server.id, "rm", "/small/ballast")

        with open_store(server.url_at(server.port)):
            pass  # made by the role that the workers have
        said = goes_on_after(kafka, "full-database", server.url, server.url_at(server.port), None, tmp_path, fill, free)
    assert any("no space is left" in line and "Make room and start again" in line for line in said)
