"""The same properties file for a Java client: what a JVM that reads the topic for us has to be told.

The certificates and keys themselves are handed over, not the names of their files, since those are on this machine only.
"""

from __future__ import annotations

import re
from pathlib import Path

from tracker.errors import UsageError
from tracker.sources.kafka_config import properties_of, read_kafka_config

_LIBRDKAFKA = ("sasl.username", "sasl.password", "ssl.ca.location", "ssl.certificate.location", "ssl.key.location")
_STORES = ("ssl.truststore.location", "ssl.truststore.type", "ssl.keystore.location", "ssl.keystore.type", "ssl.keystore.password")
_PRODUCER = ("compression.type", "linger.ms", "max.request.size")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(r"-----BEGIN (?:ENCRYPTED )?PRIVATE KEY-----.*?-----END (?:ENCRYPTED )?PRIVATE KEY-----", re.DOTALL)


def java_properties(path: str | Path) -> dict[str, str]:
    """The properties of a Java consumer that does as `read_kafka_config` says. Raises as that does."""
    read_kafka_config(path)  # all that can't be honoured is refused here as everywhere
    given = properties_of(path)
    made = {name: value for name, value in given.items() if name not in (*_LIBRDKAFKA, *_STORES, *_PRODUCER)}
    if "sasl.username" in given:
        module = "plain.PlainLoginModule" if given["sasl.mechanism"] == "PLAIN" else "scram.ScramLoginModule"
        user, password = (_quoted(given[name]) for name in ("sasl.username", "sasl.password"))
        made["sasl.jaas.config"] = f"org.apache.kafka.common.security.{module} required username={user} password={password};"
    if made.get("ssl.endpoint.identification.algorithm", "").lower() == "none":
        made["ssl.endpoint.identification.algorithm"] = ""
    if (trusted := given.get("ssl.truststore.location") or given.get("ssl.ca.location")) is not None:
        made |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": Path(trusted).read_text(encoding="utf-8")}
    if (chain := given.get("ssl.keystore.location") or given.get("ssl.certificate.location")) is not None:
        made |= _own(chain, given.get("ssl.key.location") or chain)
        if (secret := given.get("ssl.key.password") or given.get("ssl.keystore.password")) is not None:
            made["ssl.key.password"] = secret
    return made


def _own(chain: str, key: str) -> dict[str, str]:
    certificates, found = _CERTIFICATE.findall(Path(chain).read_text(encoding="utf-8")), _KEY.search(Path(key).read_text(encoding="utf-8"))
    if found is None:
        raise UsageError(
            f"{key} has no key that a Java client reads: expected PEM with BEGIN PRIVATE KEY (openssl pkcs8 -topk8 makes it so)"
        )
    return {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": "\n".join(certificates), "ssl.keystore.key": found[0]}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
