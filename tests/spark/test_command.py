"""``python -m tracker.analytics.spark``: on this machine, on a standalone cluster of two workers, killed on the way, and wrongly used."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.rebuild.logs import hash_of, log_in, url, worked
from tracker.analytics.spark.__main__ import main
from tracker.replay import replay
from tracker.stores.open import open_shadow

from .command import Cluster, begun, has_begun, ran
from .jars import required_spark


@pytest.fixture(autouse=True)
def _spark_is_there() -> None:
    required_spark()


def as_replayed(folder: Path, log: Path) -> str:
    """The hash of what a replay gives."""
    replay([str(log)], url(folder / "other.db"), jobs=1)
    return hash_of(folder / "other.db")


def test_on_a_cluster_of_two_workers(tmp_path: Path) -> None:
    """Two executors, each a process under a worker of its own, fold one log; the store is as after a replay."""
    log, store = log_in(tmp_path, tasks=2_000), tmp_path / "status.db"
    parts = tmp_path / "parts"
    parts.mkdir()
    content = log.read_bytes().splitlines(keepends=True)
    for number in range(6):  # each is a task of Spark at least
        (parts / f"{number}.jsonl").write_bytes(b"".join(content[number::6]))
    cluster = Cluster(tmp_path, 2)
    try:
        said, _ = ran(
            "--from", parts / "*.jsonl", "--to-store", url(store), "--conf=spark.executor.memory=512m", "--conf=spark.executor.cores=1",
            master=cluster.spark_url,
        )  # fmt: skip
        assert [len(list(each.glob("app-*/*"))) for each in cluster.folders] == [1, 1]
    finally:
        cluster.stop()
    assert (said["state"], said["tasks"], said["counters"]["read"]) == ("swapped", 2_000, len(content))
    assert {int(offset) for at in said["offsets"].values() for offset in at.values()} == {each.stat().st_size for each in parts.iterdir()}
    assert hash_of(store) == as_replayed(tmp_path, log)


def test_killed_and_begun_again(tmp_path: Path) -> None:
    """The whole process group is killed while Spark folds; called again, it ends as if nothing had been, and a worker goes on."""
    log, store = log_in(tmp_path, tasks=5_000), tmp_path / "status.db"
    with begun("--from", log, "--to-store", url(store)) as process:
        deadline = time.monotonic() + 120
        while not store.exists() or not has_begun(url(store)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    said, _ = ran("--from", log, "--to-store", url(store))
    assert (said["state"], said["offsets"]) == ("swapped", {str(log): {"0": log.stat().st_size}})
    log_in(tmp_path, first_task=9_000)
    worked(store, log)
    assert hash_of(store) == as_replayed(tmp_path, log)


def test_into_parquet(tmp_path: Path) -> None:
    """Statuses, states and refused records are written, and the counts add up."""
    log = log_in(tmp_path)
    said, _ = ran("--from", log, "--to-parquet", tmp_path / "out")
    assert said["tasks"] == 60
    assert said["read"] == said["applied"] + said["unchanged"] + said["ignored"] + said["parked"] == 482
    import pyarrow.parquet as pq

    statuses = pq.read_table(tmp_path / "out" / "statuses").to_pylist()
    assert len({json.loads(row["status"])["id"] for row in statuses}) == 60
    assert pq.read_table(tmp_path / "out" / "refused").num_rows == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say where to: --to-store URL or --to-parquet FOLDER"),
        (["--to-store", "sqlite:///s.db", "--to-parquet", "x"], "say where to"),
        (["--to-store", "sqlite:///s.db", "--until-offsets", "soon"], "--until-offsets is latest, or next offsets by topic and partition such as"),
        (["--to-store", "sqlite:///s.db", "--conf", "spark"], "--conf is NAME=VALUE, got 'spark'"),
        (["--to-store", "sqlite:///s.db", "--from", "a.parquet"], "a.parquet: a store has the positions of logs that it can go on with"),
        (["--to-store", "sqlite:///s.db", "--from", "kafka://h/a", "--from", "kafka://h/b"], "there can be one source in Kafka"),
    ],
)  # fmt: skip
def test_wrong_usage(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One sentence, exit code 2, before Spark is begun."""
    monkeypatch.chdir(tmp_path)
    assert main(["--from", "events.jsonl", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    """Said in one sentence by the process too, without a trace, and no shadow is left."""
    _, error = ran("--from", tmp_path / "nothing.jsonl", "--to-store", url(tmp_path / "status.db"), code=1)
    [sentence] = [line for line in error.splitlines() if line.startswith("tracker: ")]
    assert "nothing.jsonl is not there" in sentence
    assert "Traceback" not in error
    assert not open_shadow(url(tmp_path / "status.db")).exists
