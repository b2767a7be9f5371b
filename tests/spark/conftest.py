"""One session of Spark for all tests of this folder, in this process."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .jars import required_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "3",
    # Small batches, so that a task's events come in several.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "300",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spark takes seconds to start and a second a job; what it and its Python leave open is not ours to close."""
    for item in items:
        if "/tests/spark/" in item.path.as_posix():
            item.add_marker("spark")
            item.add_marker(pytest.mark.timeout(900))
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    required_spark()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        from pyspark.sql import SparkSession

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYSPARK_PYTHON", sys.executable)
            patch.delenv("PYSPARK_SUBMIT_ARGS", raising=False)
            settings = {**SETTINGS, "spark.local.dir": str(tmp_path_factory.mktemp("spark"))}
            session = SparkSession.builder.master("local[2]").appName("tests").config(map=settings).getOrCreate()
    yield session
    session.stop()
