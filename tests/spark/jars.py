"""Java, Spark and its connector for Kafka, as far as this machine has them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
JARS = HERE.parents[1] / ".cache" / "spark-jars"
COPY_TIMEOUT_S = 300


def required_spark() -> None:
    """Skipped with the reason where there is no Java; without PySpark too, or failed where TRACKER_REQUIRE_SERVICES=1, as `make test-spark` brings it."""
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        pytest.skip("Spark needs Java, and there is none")
    if missing := [name for name in ("pyspark", "pyarrow", "pandas") if importlib.util.find_spec(name) is None]:
        sentence = f"{missing[0]} is not installed: make test-spark brings it, or pip install 'tracker[spark]'"
        if os.environ.get("TRACKER_REQUIRE_SERVICES") == "1":
            pytest.fail(f"{sentence}; and TRACKER_REQUIRE_SERVICES=1")
        pytest.skip(sentence)


def kafka_jars() -> str:
    """The connector's jars for ``spark.jars``: those of TRACKER_TEST_SPARK_JARS (a folder), or fetched once by Maven. Skipped where there is neither."""
    folder = Path(os.environ.get("TRACKER_TEST_SPARK_JARS") or JARS)
    if not list(folder.glob("spark-sql-kafka*.jar")):
        if shutil.which("mvn") is None:
            pytest.skip(
                "Spark's connector for Kafka is fetched by Maven, and there is none: name a folder of its jars in TRACKER_TEST_SPARK_JARS"
            )
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={JARS}"]
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *goal], capture_output=True, text=True, timeout=COPY_TIMEOUT_S, check=False
        )
        if done.returncode:
            pytest.skip(f"Maven did not bring Spark's connector for Kafka: {done.stdout.strip()[-300:]}")
    return ",".join(str(jar) for jar in sorted(folder.glob("*.jar")))
