"""``kafka://host:9092,host2:9092/topic,topic2?group=NAME`` as a value."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from urllib.parse import unquote

from tracker.errors import UsageError

DEFAULT_PORT = 9092
_PARAMETERS = ("group", "pattern")
_EXAMPLE = "kafka://host:9092/topic"
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")  # the broker's own rule


@dataclass(frozen=True)
class KafkaUrl:
    """Where the brokers are and what to read. Exactly one of ``topics`` and ``pattern`` is given."""

    bootstrap: tuple[str, ...]
    """``host:port`` of each broker to ask first."""
    topics: tuple[str, ...] = ()
    pattern: str | None = None
    """A regular expression that a topic's whole name must match."""
    group: str | None = None
    """The consumer group that shares the partitions; None: this worker takes them all."""

    @property
    def what(self) -> str:
        """The topics in words, for messages."""
        return f"pattern {self.pattern}" if self.pattern is not None else ",".join(self.topics)

    def matches(self, topic: str) -> bool:
        """Whether a topic of this name is to be read."""
        return topic in self.topics if self.pattern is None else re.fullmatch(self.pattern, topic) is not None


def parse_kafka_url(url: str) -> KafkaUrl:
    """Read a source URL. Raises UsageError with one sentence for the first mistake; a password in the URL is not repeated."""
    scheme, colon, rest = url.partition("://")
    if scheme.lower() != "kafka" or not colon:
        raise UsageError(f"expected a Kafka URL such as {_EXAMPLE}, got one that does not start with kafka://")
    rest, _, query = rest.partition("?")
    hosts, _, path = rest.partition("/")
    if "@" in hosts:
        raise UsageError("a Kafka URL takes no user or password: put them into a properties file and name it with --kafka-config")
    if "#" in rest or "#" in query:
        raise UsageError("a Kafka URL takes no '#'; in a pattern write %23")
    parameters = _query(query)
    pattern, group = parameters.get("pattern"), parameters.get("group")
    topics = tuple(unquote(name) for name in path.split(",")) if path else ()
    if pattern is None and not topics:
        raise UsageError(f"the Kafka URL names no topic: expected {_EXAMPLE}, or kafka://host:9092/?pattern=REGEX")
    if pattern is not None and topics:
        raise UsageError(f"the Kafka URL names a topic ({path}) and a pattern ({pattern}): give one of them")
    for topic in topics:
        if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            raise UsageError(f"{topic!r} is not a topic name: expected 1 to 249 of the characters A-Z a-z 0-9 . _ -")
    if len(set(topics)) < len(topics):
        raise UsageError(f"the Kafka URL names a topic twice: {path}")
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"the pattern {pattern!r} is not a regular expression: {error}") from None
    return KafkaUrl(bootstrap=tuple(map(_host, hosts.split(","))), topics=topics, pattern=pattern, group=group)


def _query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in query.split("&") if query else ():
        name, equals, value = item.partition("=")
        if name not in _PARAMETERS:
            near = difflib.get_close_matches(name, _PARAMETERS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"expected {' or '.join(_PARAMETERS)}"
            raise UsageError(f"the Kafka URL has an unknown parameter {name!r}: {hint}")
        if not equals or not value:
            raise UsageError(f"the Kafka URL's parameter {name!r} has no value")
        if name in found:
            raise UsageError(f"the Kafka URL has the parameter {name!r} twice")
        found[name] = unquote(value)  # not unquote_plus: '+' is common in a regular expression
    return found


def _host(text: str) -> str:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(DEFAULT_PORT)
    if not host:
        raise UsageError(f"the Kafka URL names no host: expected {_EXAMPLE}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise UsageError(f"{text!r} is not HOST:PORT; an IPv6 address stands in brackets, [::1]:{DEFAULT_PORT}")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"{text!r} has no valid port: expected HOST:PORT with a port from 1 to 65535")
    return f"{host}:{port}"
