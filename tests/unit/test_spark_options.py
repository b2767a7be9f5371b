"""What needs no Spark of what is said to it: offsets, stretches, properties for its Java client, and its errors as ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker import errors
from tracker.analytics.spark.__main__ import offsets
from tracker.analytics.spark.loading import of_spark
from tracker.analytics.spark.reading import cut, whole_files
from tracker.errors import UsageError
from tracker.model.records import TopicPartition
from tracker.replay.runs import UNTIL_ENDED
from tracker.sources.kafka_java import java_properties


def test_offsets_are_those_that_spark_writes() -> None:
    """By topic and partition; −1 and what is not named are the log's end."""
    assert offsets('{"a": {"0": 5, "12": 0}, "b": {"1": -1}}') == {TopicPartition("a", 0): 5, TopicPartition("a", 12): 0}
    assert offsets("latest") == {}


@pytest.mark.parametrize("text", ["earliest", "{}x", '{"a": 5}', '{"a": {"x": 5}}', '{"a": {"0": "5"}}'])
def test_offsets_that_are_none(text: str) -> None:
    """One sentence with an example and what came."""
    with pytest.raises(UsageError, match="--until-offsets is latest, or next offsets by topic and partition such as"):
        offsets(text)


def test_stretches_cover_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From line to line, without gap or overlap, and to where the reading is to end; a compressed file is one."""
    from tracker.analytics.spark import reading

    monkeypatch.setattr(reading, "STRETCH_BYTES", 100)
    path, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(400)))
    packed.write_bytes(b"")
    content = path.read_bytes()
    found = whole_files([str(path), str(packed)])
    assert found.pop() == (str(packed), 0, UNTIL_ENDED)
    assert len(found) > 10
    assert b"".join(content[begin:end] for _, begin, end in found) == content
    assert all(content[end - 1 : end] == b"\n" for _, _, end in found)
    until = content.index(b"300\n")
    assert b"".join(content[begin:end] for _, begin, end in cut({str(path): (4, until)})) == content[4:until]


def properties(tmp_path: Path, text: str) -> dict[str, str]:
    """Of a file with this text."""
    path = tmp_path / "client.properties"
    path.write_text(text.format(folder=tmp_path), encoding="utf-8")
    return java_properties(path)


def test_a_java_client_is_told_a_login(tmp_path: Path) -> None:
    """User and password become the login module's line, quoted; what is a producer's is left out, numbers stay as they are."""
    found = properties(
        tmp_path,
        'security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=al"ice\nsasl.password=a\\\\b\nlinger.ms=5\nfetch.max.bytes=1000\n',
    )
    assert found == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": 'org.apache.kafka.common.security.scram.ScramLoginModule required username="al\\"ice" password="a\\\\b";',
        "fetch.max.bytes": "1000",
    }


def test_a_java_client_is_given_certificates_and_not_their_files(tmp_path: Path) -> None:
    """What a JVM elsewhere could not open is handed over by its content."""
    from tests.services.kafka import certificate

    both = certificate(tmp_path)
    if both is None:
        pytest.skip("there is no openssl to make a certificate")
    found = properties(
        tmp_path,
        "security.protocol=SSL\nssl.ca.location={folder}/cert.pem\nssl.keystore.location={folder}/broker.pem\nssl.endpoint.identification.algorithm=none\n",
    )
    assert found["ssl.endpoint.identification.algorithm"] == ""
    assert found["ssl.truststore.type"] == found["ssl.keystore.type"] == "PEM"
    assert found["ssl.truststore.certificates"] == (tmp_path / "cert.pem").read_text()
    assert found["ssl.keystore.key"] in both.read_text()
    assert found["ssl.keystore.certificate.chain"].startswith("-----BEGIN CERTIFICATE-----")
    assert not [value for value in found.values() if str(tmp_path) in value]


def test_an_error_of_an_executor_is_ours_again() -> None:
    """The last of our errors in a trace comes back as it was raised; one that is made of more than a sentence as its sentence."""
    trace = "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n  File x\ntracker.errors.TornFile: a.gz: damaged\n"
    error = of_spark(trace)
    assert (type(error), str(error)) == (errors.TornFile, "a.gz: damaged")
    assert str(of_spark("tracker.errors.SourceChanged: another file")) == "another file"


def test_an_error_of_spark_is_a_sentence() -> None:
    """The innermost cause, without the trace; a missing connector says what to do."""
    error = of_spark("An error occurred while calling o1.\n: x.Y: Job aborted\n\tat a.b\nCaused by: java.io.IOException: disk\n\tat c.d\n")
    assert str(error) == "Spark did not get to the end: java.io.IOException: disk"
    assert "spark.jars.packages=org.apache.spark:spark-sql-kafka-0-10_2.13" in str(
        of_spark("Failed to find data source: kafka. Please deploy")
    )
