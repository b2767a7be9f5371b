"""``--kafka-config client.properties``: the Java client's property names, read into aiokafka's settings.

A property that tracker can't honour is an error that names file and line, never a silent difference from the Java client.
Passwords are kept out of ``repr``, messages and logs.
"""

from __future__ import annotations

import difflib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.errors import NotFound, UsageError

# Java name -> aiokafka's argument, for the numbers (all milliseconds or bytes).
_CLIENT_NUMBERS = {
    "request.timeout.ms": "request_timeout_ms",
    "retry.backoff.ms": "retry_backoff_ms",
    "metadata.max.age.ms": "metadata_max_age_ms",
    "connections.max.idle.ms": "connections_max_idle_ms",
}
_CONSUMER_NUMBERS = {
    "session.timeout.ms": "session_timeout_ms",
    "heartbeat.interval.ms": "heartbeat_interval_ms",
    # To the Java client it is also the time that a rebalance waits for a member, which is what it can mean here:
    # a worker is alive as long as its heartbeats go, however long a batch takes.
    "max.poll.interval.ms": "rebalance_timeout_ms",
    "fetch.min.bytes": "fetch_min_bytes",
    "fetch.max.bytes": "fetch_max_bytes",
    "fetch.max.wait.ms": "fetch_max_wait_ms",
    "max.partition.fetch.bytes": "max_partition_fetch_bytes",
}
_PRODUCER_NUMBERS = {"linger.ms": "linger_ms", "max.request.size": "max_request_size"}
_TEXTS = (
    "client.id",
    "client.rack",
    "compression.type",
    "check.crcs",
    "security.protocol",
    "sasl.mechanism",
    "sasl.jaas.config",
    "sasl.username",
    "sasl.password",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.ca.location",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.keystore.password",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
)
_KNOWN = (*_CLIENT_NUMBERS, *_CONSUMER_NUMBERS, *_PRODUCER_NUMBERS, *_TEXTS)
_OURS = {
    "bootstrap.servers": "the brokers stand in the source's URL",
    "group.id": "the group stands in the source's URL, ?group=NAME",
    "group.instance.id": "it is given by --instance NAME",
    "auto.offset.reset": "positions come from the store, see --on-lost-offset",
    "enable.auto.commit": "positions are stored with the statuses, in one transaction",
    "isolation.level": "tracker always reads committed records only",
    "max.poll.records": "it is given by --max-batch-records",
    "acks": "tracker always writes with acks=all",
    "enable.idempotence": "tracker always writes idempotently",
    "key.deserializer": "records are decoded by tracker",
    "value.deserializer": "records are decoded by tracker",
    "ssl.truststore.password": "a PEM truststore has no password",
}
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_JAAS_OPTION = re.compile(r"""(username|password)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s;"']+))""")


@dataclass(frozen=True)
class KafkaConfig:
    """Settings for aiokafka's clients, as keyword arguments. ``repr`` shows none of them, as one is a password."""

    client: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """For every client: security, timeouts."""
    consumer: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """For the consumer only: sessions, fetch sizes."""
    producer: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """For the producer only: compression, linger."""


def read_kafka_config(path: str | Path) -> KafkaConfig:
    """Read a properties file. Raises NotFound if it can't be read, UsageError naming file and line for what can't be honoured."""
    return parse_kafka_config(_text(path), str(path))


def properties_of(path: str | Path) -> dict[str, str]:
    """The file's properties by name, as they stand there. Raises NotFound."""
    return {name: value.strip() for _, name, value in _properties(_text(path))}


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise NotFound(f"the Kafka properties {path} can't be read: {reason}") from None


def parse_kafka_config(text: str, name: str) -> KafkaConfig:
    """The same from the file's text; ``name`` is the file's name for messages."""
    reader = _Reader(name, _properties(text))
    client = reader.numbers(_CLIENT_NUMBERS) | reader.security()
    consumer = reader.numbers(_CONSUMER_NUMBERS)
    producer = reader.numbers(_PRODUCER_NUMBERS)
    if client_id := reader.text("client.id"):
        client["client_id"] = client_id
    if rack := reader.text("client.rack"):
        consumer["client_rack"] = rack
    if crcs := reader.choice("check.crcs", ("true", "false")):
        consumer["check_crcs"] = crcs == "true"
    if (codec := reader.choice("compression.type", _CODECS)) and codec != "none":
        producer["compression_type"] = codec
    session, heartbeat = consumer.get("session_timeout_ms"), consumer.get("heartbeat_interval_ms")
    if session is not None and heartbeat is not None and heartbeat * 2 > session:
        raise reader.wrong("heartbeat.interval.ms", f"expected at most half of session.timeout.ms ({session}), got {heartbeat}")
    return KafkaConfig(client, consumer, producer)


def _properties(text: str) -> list[tuple[int, str, str]]:
    """Line number, name and value of each property, by the rules of java.util.Properties."""
    found = []
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, raw in lines:
        line = raw.lstrip(" \t\f")
        if not line or line[0] in "#!":
            continue
        while (len(line) - len(line.rstrip("\\"))) % 2:
            line = line[:-1] + next(lines, (0, ""))[1].lstrip(" \t\f")
        split = re.match(r"((?:[^\\=:\s]|\\.)*)\s*[=:]?\s*", line)
        assert split is not None  # every part of it may be empty
        found.append((number, _unescape(split[1]), _unescape(line[split.end() :])))
    return found


def _unescape(text: str) -> str:
    named = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", lambda found: chr(int(found[1], 16)) if found[1] else named.get(found[2], found[2]), text)


class _Reader:
    """The properties of one file by name, the last of a name counting, and errors that say where they stand."""

    def __init__(self, file: str, found: list[tuple[int, str, str]]) -> None:
        self._file = file
        self._line = {name: line for line, name, _ in found}
        self._value = {name: value.strip() for _, name, value in found}
        for name in self._value:
            if name in _OURS:
                raise self.wrong(name, f"it can't be set here: {_OURS[name]}")
            if name not in _KNOWN:
                near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.7)
                raise self.wrong(name, f"did you mean {near[0]}?" if near else "tracker does not support this property")

    def wrong(self, name: str, why: str) -> UsageError:
        return UsageError(f"{self._file}, line {self._line.get(name, 1)}: {name}: {why}")

    def text(self, name: str) -> str | None:
        return self._value.get(name)

    def choice(self, name: str, known: tuple[str, ...]) -> str | None:
        value = self._value.get(name)
        if value is not None and value not in known:
            raise self.wrong(name, f"expected {', '.join(known[:-1])} or {known[-1]}, got {value!r}")
        return value

    def numbers(self, names: Mapping[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, argument in names.items():
            value = self._value.get(name)
            if value is not None:
                if not (value.isascii() and value.isdigit() and int(value) <= 2**31 - 1):
                    raise self.wrong(name, f"expected an integer from 0 to {2**31 - 1}, got {value!r}")
                found[argument] = int(value)
        return found

    def security(self) -> dict[str, Any]:
        protocol = self.choice("security.protocol", _PROTOCOLS) or "PLAINTEXT"
        found: dict[str, Any] = {"security_protocol": protocol}
        if protocol.endswith("SSL"):
            found["ssl_context"] = self._tls()
        elif stray := next((name for name in self._value if name.startswith("ssl.")), None):
            raise self.wrong(stray, f"it has no effect with security.protocol={protocol}; expected SSL or SASL_SSL")
        if protocol.startswith("SASL"):
            mechanism = self.choice("sasl.mechanism", _MECHANISMS)
            if mechanism is None:
                raise self.wrong("security.protocol", f"{protocol} needs sasl.mechanism: {', '.join(_MECHANISMS)}")
            user, password = self._credentials()
            found |= {"sasl_mechanism": mechanism, "sasl_plain_username": user, "sasl_plain_password": password}
        elif stray := next((name for name in self._value if name.startswith("sasl.")), None):
            raise self.wrong(stray, f"it has no effect with security.protocol={protocol}; expected SASL_SSL or SASL_PLAINTEXT")
        return found

    def _credentials(self) -> tuple[str, str]:
        user, password, jaas = self.text("sasl.username"), self.text("sasl.password"), self.text("sasl.jaas.config")
        if jaas is not None:
            if user is not None or password is not None:
                raise self.wrong("sasl.jaas.config", "give it, or sasl.username and sasl.password, not both")
            options = {name: re.sub(r"\\(.)", r"\1", quoted or single or bare) for name, quoted, single, bare in _JAAS_OPTION.findall(jaas)}
            user, password = options.get("username"), options.get("password")
            if user is None or password is None:
                raise self.wrong("sasl.jaas.config", 'expected MODULE required username="…" password="…";')
        if user is None or password is None:
            raise self.wrong("sasl.mechanism", "it needs sasl.username and sasl.password, or sasl.jaas.config")
        return user, password

    def _tls(self) -> ssl.SSLContext:
        for name in ("ssl.truststore.type", "ssl.keystore.type"):
            if (kind := self.text(name)) is not None and kind.upper() != "PEM":
                raise self.wrong(name, f"expected PEM, got {kind!r}; convert a JKS or PKCS12 store with keytool and openssl")
        trust = "ssl.truststore.location" if "ssl.truststore.location" in self._value else "ssl.ca.location"
        certificate = "ssl.keystore.location" if "ssl.keystore.location" in self._value else "ssl.certificate.location"
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.text(trust) or None)
        except (OSError, ssl.SSLError) as error:
            raise self.wrong(trust, f"expected a PEM file of certificates: {_reason(error)}") from None
        if (chain := self.text(certificate)) is not None:
            password = self.text("ssl.key.password") or self.text("ssl.keystore.password") or ""
            try:
                # A password is always given: without one, OpenSSL would ask for it on the terminal.
                context.load_cert_chain(chain, self.text("ssl.key.location"), lambda: password)
            except (OSError, ssl.SSLError) as error:
                raise self.wrong(certificate, f"expected a PEM file with certificate and key: {_reason(error)}") from None
        elif self.text("ssl.key.location") is not None:
            raise self.wrong("ssl.key.location", "it needs ssl.certificate.location")
        algorithm = self.text("ssl.endpoint.identification.algorithm")
        if algorithm is not None and algorithm.lower() not in ("", "https", "none"):
            raise self.wrong("ssl.endpoint.identification.algorithm", f"expected https or nothing, got {algorithm!r}")
        context.check_hostname = algorithm is None or algorithm.lower() == "https"
        return context


def _reason(error: OSError) -> str:
    return str(error.strerror or error).split("(_ssl")[0].strip()
