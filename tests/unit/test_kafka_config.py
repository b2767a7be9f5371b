"""Kafka URLs and properties files: what is understood, and one sentence for each mistake."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tracker.errors import NotFound, UsageError
from tracker.sources.kafka_config import parse_kafka_config, read_kafka_config
from tracker.sources.kafka_url import KafkaUrl, parse_kafka_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("kafka://h:9092/t", KafkaUrl(("h:9092",), ("t",))),
        ("kafka://h/t", KafkaUrl(("h:9092",), ("t",))),
        ("kafka://h:1,i:2/t,u.v_w-x", KafkaUrl(("h:1", "i:2"), ("t", "u.v_w-x"))),
        ("kafka://[::1]:9092/t", KafkaUrl(("[::1]:9092",), ("t",))),
        ("kafka://[::1]/t", KafkaUrl(("[::1]:9092",), ("t",))),
        ("kafka://h:9092/t?group=g", KafkaUrl(("h:9092",), ("t",), None, "g")),
        ("kafka://h:9092/?pattern=task-.+&group=g%20h", KafkaUrl(("h:9092",), (), "task-.+", "g h")),
        ("kafka://h:9092?pattern=a", KafkaUrl(("h:9092",), (), "a")),
    ],
)
def test_urls(url: str, expected: KafkaUrl) -> None:
    """Brokers, topics, pattern and group; a plus in a pattern is a plus."""
    assert parse_kafka_url(url) == expected


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://h/t", "does not start with kafka://"),
        ("kafka:h/t", "does not start with kafka://"),
        ("kafka:///t", "names no host"),
        ("kafka://h:9092,/t", "names no host"),
        ("kafka://:9092/t", "names no host"),
        ("kafka://h:x/t", "no valid port"),
        ("kafka://h:0/t", "no valid port"),
        ("kafka://h:70000/t", "no valid port"),
        ("kafka://h:９/t", "no valid port"),
        ("kafka://::1/t", "IPv6"),
        ("kafka://h", "names no topic"),
        ("kafka://h/", "names no topic"),
        ("kafka://h/a/b", "not a topic name"),
        ("kafka://h/a b", "not a topic name"),
        ("kafka://h/a,", "not a topic name"),
        ("kafka://h/..", "not a topic name"),
        ("kafka://h/a,a", "twice"),
        ("kafka://h/t?pattern=a", "give one of them"),
        ("kafka://h/?pattern=(", "not a regular expression"),
        ("kafka://h/t?gruop=g", "did you mean 'group'"),
        ("kafka://h/t?zzz=g", "expected group or pattern"),
        ("kafka://h/t?group", "has no value"),
        ("kafka://h/t?group=", "has no value"),
        ("kafka://h/t?group=a&group=b", "twice"),
        ("kafka://h/t#x", "'#'"),
    ],
)
def test_wrong_urls(url: str, sentence: str) -> None:
    """Each mistake has its sentence."""
    with pytest.raises(UsageError) as caught:
        parse_kafka_url(url)

    assert sentence in str(caught.value)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    """It would end up in process lists and logs."""
    with pytest.raises(UsageError, match="--kafka-config") as caught:
        parse_kafka_url("kafka://me:secret@h:9092/t")

    assert "secret" not in str(caught.value)


def test_a_pattern_matches_whole_names() -> None:
    """As in the Java client."""
    url = parse_kafka_url("kafka://h/?pattern=task-.")
    assert [url.matches(name) for name in ("task-a", "task-ab", "my-task-a")] == [True, False, False]


def test_properties() -> None:
    """Numbers go to the client that has them; comments, both separators, continuations and escapes as in Java."""
    config = parse_kafka_config(
        "# a comment\n! another\n\nsession.timeout.ms : 6000\n  client.id=my\\u0041pp\nlinger.ms 7\n"
        "compression.type = \\\n   lz4\nrequest.timeout.ms=1\nrequest.timeout.ms=2\n",
        "f",
    )

    assert config.client == {"security_protocol": "PLAINTEXT", "request_timeout_ms": 2, "client_id": "myApp"}
    assert config.consumer == {"session_timeout_ms": 6000}
    assert config.producer == {"linger_ms": 7, "compression_type": "lz4"}


@pytest.mark.parametrize(
    "credentials",
    [
        'sasl.username=me\nsasl.password=p\\\\w="1',
        'sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="p\\\\\\\\w=\\\\"1";',
    ],
)
def test_credentials(credentials: str) -> None:
    """By name or by a JAAS line, with its quotes and escapes; never shown."""
    config = parse_kafka_config(f"security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n{credentials}\n", "f")

    assert (config.client["sasl_plain_username"], config.client["sasl_plain_password"]) == ("me", 'p\\w="1')
    assert isinstance(config.client["ssl_context"], ssl.SSLContext)
    assert repr(config) == "KafkaConfig()"


def test_tls_checks_the_host_unless_told_not_to() -> None:
    """An empty ssl.endpoint.identification.algorithm is the Java client's way to switch the check off."""
    on = parse_kafka_config("security.protocol=SSL\n", "f").client["ssl_context"]
    off = parse_kafka_config("security.protocol=SSL\nssl.endpoint.identification.algorithm=\n", "f").client["ssl_context"]

    assert (on.check_hostname, off.check_hostname) == (True, False)
    assert (on.verify_mode, off.verify_mode) == (ssl.CERT_REQUIRED, ssl.CERT_REQUIRED)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a=1\nsesion.timeout.ms=1", "f, line 1: a: tracker does not support this property"),
        ("\nsesion.timeout.ms=1", "f, line 2: sesion.timeout.ms: did you mean session.timeout.ms?"),
        ("bootstrap.servers=h:1", "line 1: bootstrap.servers: it can't be set here: the brokers stand in the source's URL"),
        ("auto.offset.reset=latest", "--on-lost-offset"),
        ("session.timeout.ms=ten", "expected an integer"),
        ("session.timeout.ms=1000\nheartbeat.interval.ms=900", "line 2: heartbeat.interval.ms"),
        ("security.protocol=TLS", "expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
        ("sasl.mechanism=PLAIN", "no effect"),
        ("ssl.ca.location=x", "no effect"),
        ("security.protocol=SASL_SSL", "needs sasl.mechanism"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI", "expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "needs sasl.username and sasl.password"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=x required;", "username="),
        ("security.protocol=SSL\nssl.truststore.type=JKS", "expected PEM"),
        ("security.protocol=SSL\nssl.truststore.location=/no/such/file", "line 2: ssl.truststore.location: expected a PEM file"),
        ("security.protocol=SSL\nssl.keystore.location=/no/such/file", "line 2: ssl.keystore.location: expected a PEM file"),
        ("security.protocol=SSL\nssl.key.location=/x", "needs ssl.certificate.location"),
        ("compression.type=brotli", "expected none, gzip, snappy, lz4 or zstd"),
    ],
)
def test_wrong_properties(text: str, sentence: str) -> None:
    """Each mistake names file and line."""
    with pytest.raises(UsageError) as caught:
        parse_kafka_config(text, "f")

    assert sentence in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    """The file's name and the reason."""
    with pytest.raises(NotFound, match=r"none\.properties can't be read: No such file"):
        read_kafka_config(tmp_path / "none.properties")
