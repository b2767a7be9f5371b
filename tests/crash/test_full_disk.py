"""No space left: a worker ends with one sentence, nothing of the commit is written, and with room again the next one ends exactly."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.scene import ends_of, fleet, log_of, produce, read_all, stored, tend_until, wrong
from tests.crash.test_lost import make
from tests.services.kafka import Broker

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


def test_a_full_disk(kafka: Broker, small_disk: Path, tmp_path: Path) -> None:
    """Both workers end with code 1 while the disk is full, over and over; when there is room, they go on to the end."""
    topic, url, ballast = "full-disk", f"sqlite:///{small_disk}/status.db", small_disk / "ballast"
    asyncio.run(make(kafka, topic))
    produce(kafka.bootstrap, topic, 2_000, seed=1)
    first = log_of(kafka.bootstrap, topic)
    with fleet(kafka.bootstrap, topic, url, tmp_path) as workers:
        workers.start()
        tend_until(workers, read_all(url, small_disk / "status.db", first), "the first log")
        free = os.statvfs(small_disk)
        ballast.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 1_000_000))
        workers.tolerated = {1}
        produce(kafka.bootstrap, topic, 20_000, seed=2)
        log = log_of(kafka.bootstrap, topic)
        tend_until(workers, lambda: sum(worker.starts for worker in workers.workers) >= 4, "two workers that ended")
        before = {each.position.at: each.counters for each in stored(url)}
        ballast.unlink()
        tend_until(workers, read_all(url, None, log), "the rest of the log")
        workers.tolerated = set()
        assert workers.stop() + workers.complaints() == []
        said = [each["message"] for worker in workers.workers for each in worker.messages()]

    assert any("no space is left" in line and "Make room and start again" in line for line in said)
    assert all(counted.balanced for counted in before.values())
    assert wrong(url, log, ends_of(log), tmp_path) == []
