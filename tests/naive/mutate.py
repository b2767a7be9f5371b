"""Encoded events made odd: `mutated` changes a value's bytes or structure, `mutated_record` its key, headers and timestamp too.

Some mutations keep an event valid (unknown members, spellings of times, numbers at their limits), so both verdicts are exercised.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec

from tests.naive.decode import KINDS, PREFIX
from tracker.model.records import Record

LONG_DIGITS = "1" * 5000
RAW = (
    "1e999", "-1e999", "1E400", "1e-999", "1.5e308", "0." + "1" * 400, LONG_DIGITS, "-" + LONG_DIGITS, LONG_DIGITS + ".5", "18446744073709551615",
    "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "9223372036854775807", "9223372036854775808", "NaN", "Infinity",
    "-Infinity", "-0", "-0.0", "0", "1", "1.0", "2.0", "1e0", "01", "+1", ".5", "1.", "0x10", "true", "false", "null", "True", "nul", '""', '"a"',
    '"\\u0000"', '"\\ud800"', '"\\udc00x"', '"\\ud83d\\ude00"', '"\\ud83d\\ud83d\\ude00"', '"\\uD83D \\uDE00"', '"\\u00"', '"\\x"', '"\t"', "'a'",
    "[]", "{}", "[1]", "[null]", "[1e999]", '{"a":1e999}', '{"a":1,"a":2}', '{"a":NaN}', '{"b":1,"a":{"d":1,"c":-0}}', "[18446744073709551616]",
    '["a",{"b":1}]', '["a",1]', "[[]]", "[1,]", '{"a":1,}', "{1:2}", "/**/1", '"é"', '"\\/"', '"\u2028"', '"\x7f"', "100", "101", "-1", "1e2", "1E5",
)  # fmt: skip
"""JSON texts, and near-JSON, that a member may have."""
INTEGERS = (
    "0", "1", "2", "-1", "-0", "7.0", "1e1", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", LONG_DIGITS, "true", "null",
    '"007"', '"0"', '"2147483647"', '"2147483648"', '"9223372036854775807"', '"9223372036854775808"', '"２"', '"²"', '"-1"', '"+1"', '" 1"', '"1 "',
    '"1_0"', '""', '"1.0"', '"' + "0" * 5000 + '1"', '"' + LONG_DIGITS + '"', '"1\\n"', "1e999", "[1]",
)  # fmt: skip
TIMES = (
    "2026-01-01T00:00:00Z", "2026-01-01t00:00:00z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00.123456789012Z", "2026-01-01T00:00:00.9999999Z",
    "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00-00:00", "2026-01-01T00:00:00+23:59", "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00+05:60", "2026-01-01T00:00:00+0200", "2026-01-01T00:00:00+02", "2026-01-01T00:00:00", "2026-01-01T00:00Z", "2026-01-01",
    "2026-01-01T24:00:00Z", "2026-01-01T23:59:60Z", "2016-12-31T23:59:60Z", "2026-01-01T23:60:00Z", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "0000-12-31T23:30:00-01:00", "0000-02-29T23:30:00-01:00",
    "0001-01-01T00:00:00Z", "0001-01-01T00:30:00+01:00", "0001-01-01T01:00:00+01:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:59.9999999Z", "10000-01-01T00:00:00Z", "2026-W01-1T00:00:00Z", "2026-001T00:00:00Z", "20260101T000000Z",
    "2026-01-01T00:00:00,5Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00 Z", " 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n",
    "2026-01-01_00:00:00Z", "2026-01-01  00:00:00Z", "2026-1-01T00:00:00Z", "2026-01-01T0:00:00Z", "２026-01-01T00:00:00Z", "-026-01-01T00:00:00Z",
    "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T00:00:00.１Z", "2026-01-01T00:00:00\u2212" + "01:00",
    "2026-01-01T00:00:00." + "9" * 5000 + "Z", "", "now", "1767225600", "2026-01-02T00:00:00.001Z", "2026-01-02T00:00:02Z",
)  # fmt: skip
NAMES = (
    "", "a", "\x00", "a\x1f", "\x7f", "\x80", "\x9f", "\xa0", "\n", "x" * 256, "x" * 257, "\U0001f600" * 256, "\U0001f600" * 257, "\ufeff", "é" * 200, " ",
)  # fmt: skip
MEMBERS = (
    "type", "specversion", "id", "source", "subject", "time", "data", "data_base64", "attempt", "sequence", "traceparent", "extension", "Type", "",
    "uniqueName", "description", "parentName", "parentId", "launcher", "target", "taskDefinitionSummary", "attributes", "progress", "percentComplete",
    "key", "localizedText", "parameters", "name", "attributeName", "completionStatus", "completed", "locale", "message", "arguments", "executor",
)  # fmt: skip
WORDS = (
    "QUARTZ",
    "QPOC",
    "QUEUED_TASK",
    "quartz",
    "INFO",
    "WARN",
    "ERROR",
    "APPLICATION",
    "SUCCESS",
    "WARNING",
    "TERMINATED",
    "TEMPERROR",
    "1.0",
    "1.00",
)
BAD_BYTES = (
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"\n",
    b"\x0b",
    b"\x1f",
)
SNIPPETS = (b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"0", b"e9", b"null", b" ", b"\\u0000", b"\\ud800", b"-", b".")


def mutated(rng: Random, value: bytes) -> bytes:
    """The value with one to three things changed: two of three times in its structure, else in its bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _structure(rng, value) if rng.random() < 0.7 else _bytes(rng, value)
    return value


def mutated_record(rng: Random, record: Record) -> Record:
    """The record with its value, key, headers or timestamp changed."""
    value, key, headers, timestamp_ms = record.value, record.key, list(record.headers), record.timestamp_ms
    choice = rng.random()
    if choice < 0.7:
        value = mutated(rng, value or b"{}")
    elif choice < 0.75:
        value = rng.choice((None, b"", b" ", b"null", b"5", b"[]", b"\xef\xbb\xbf{}"))
    elif choice < 0.8:
        key = rng.choice((None, b"", b"k", b"\xff", b"\x00", b"x" * 257, "\U0001f600".encode() * 256))
    elif choice < 0.83:
        timestamp_ms = rng.choice((None, 0, 1_767_225_600_000 - 86_400_000, 1_767_225_600_000 - 86_400_001, 2**62, -62_135_596_800_000))
    elif headers and choice < 0.87:
        del headers[rng.randrange(len(headers))]
    else:
        headers.insert(rng.randint(0, len(headers)), _header(rng))
    return msgspec.structs.replace(record, value=value, key=key, headers=headers, timestamp_ms=timestamp_ms)


def _header(rng: Random) -> tuple[str, bytes | None]:
    if rng.random() < 0.2:
        kind = rng.choice(
            (
                b"application/cloudevents+json",
                b"APPLICATION/CLOUDEVENTS+JSON;x",
                b"application/json",
                b" application/cloudevents+json",
                None,
            )
        )
        return (rng.choice(("content-type", "Content-Type", "CONTENT-TYPE", "ce_content-type")), kind)
    name = rng.choice(MEMBERS)
    text = json.loads(json.dumps(_special(rng, name)).replace('"@', '"').replace('@"', '"')) if rng.random() < 0.9 else None
    value = rng.choice((None, b"\xff", b"")) if text is None else str(text).encode()
    return (rng.choice(("ce_", "ce_", "ce_", "CE_", "ce-", "")) + name, value)


# --- bytes --------------------------------------------------------------------------------------------------------------


def _bytes(rng: Random, value: bytes) -> bytes:
    at = rng.randint(0, len(value))
    end = min(len(value), at + rng.choice((1, 1, 2, 10)))
    choice = rng.randrange(9)
    if choice == 0 and at < len(value):
        return value[:at] + bytes([value[at] ^ (1 << rng.randrange(8))]) + value[at + 1 :]
    if choice == 1:
        return value[:at]
    if choice == 2:
        return value[:at] + value[end:]
    if choice == 3:
        return value[:end] + value[at:]
    if choice == 4:
        return value[:at] + rng.choice(BAD_BYTES) + value[at:]
    if choice == 5:
        return rng.choice((b"\xef\xbb\xbf", b" ", b"\n\t\r ", b"\x00", b"\xff\xfe", b"x", b"[")) + value
    if choice == 6:
        return value + rng.choice((b" ", b"\n", b"\x00", b"x", b"}", b"{}", b",", b"\x0c", b"\xc2\xa0"))
    if choice == 7:
        return value.replace(b'":', rng.choice((b'" :', b'":\n', b'" \t:\r')))
    return value[:at] + rng.choice(SNIPPETS) + value[at:]


# --- structure ----------------------------------------------------------------------------------------------------------


def _structure(rng: Random, value: bytes) -> bytes:
    try:
        event = json.loads(value)
    except (ValueError, RecursionError):
        return _bytes(rng, value)
    holders = _objects(event)
    if not holders:
        return _raw(rng).encode()
    holder = holders[0] if rng.random() < 0.6 else rng.choice(holders)
    choice = rng.random()
    name = rng.choice((*holder, *MEMBERS[:10])) if choice < 0.7 else rng.choice(MEMBERS)
    if choice < 0.1:
        holder.pop(name, None)
    elif choice < 0.25:
        return _written(rng, event, duplicate=name)
    elif choice < 0.6:
        holder[name] = _special(rng, name)
    elif choice < 0.9:
        holder[name] = f"@{_raw(rng)}@" if rng.random() < 0.6 else rng.choice(WORDS)
    elif choice < 0.92:
        return rng.choice((b"[", b"[[")) + value + b"]"
    else:
        kind = rng.choice(KINDS)
        holder["type"] = f"@{_quoted(PREFIX + kind)}@"
    return _written(rng, event)


def _objects(value: Any) -> list[dict[str, Any]]:
    """All objects in a value, the outermost first."""
    found: list[dict[str, Any]] = []
    waiting = [value]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, dict):
            found.append(item)
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return found


def _written(rng: Random, event: dict[str, Any], duplicate: str | None = None) -> bytes:
    """The event as JSON; a text between @ and @ stands for the JSON text inside. ``duplicate`` is a key to give twice."""
    try:
        text = json.dumps(event, ensure_ascii=rng.random() < 0.5)
    except (ValueError, RecursionError):
        return b"{"
    parts = text.split('"@')
    for n, part in enumerate(parts[1:], 1):
        inner, found, rest = part.partition('@"')
        parts[n] = json.loads(f'"{inner}"', strict=False) + rest if found else '"@' + part
    text = "".join(parts)
    if duplicate is not None:
        other = _special(rng, duplicate)
        member = f"{_quoted(duplicate)}:{other[1:-1] if isinstance(other, str) and other.startswith('@') else _quoted(other)}"
        text = f"{{{member},{text[1:]}" if rng.random() < 0.5 else f"{text[:-1]},{member}}}"
    return text.encode("utf-8", "surrogatepass")


def _quoted(value: object) -> str:
    return json.dumps(value)


def _special(rng: Random, name: str) -> Any:
    """A value that is of interest for a member of that name; a text between @ and @ is raw JSON."""
    if rng.random() < 0.15:
        return f"@{_raw(rng)}@"
    if name in ("attempt", "sequence", "percentComplete"):
        return f"@{rng.choice(INTEGERS)}@"
    if name in ("time", "completed"):
        return rng.choice(TIMES)
    if name in ("id", "source", "subject"):
        return rng.choice(NAMES)
    if name == "type":
        kind = rng.choice((*KINDS, "", "moved", "Created", "created "))
        return rng.choice((PREFIX + kind, PREFIX + kind, "com.example.other", "", "QUARTZ", "INFO"))
    if name == "data":
        return rng.choice(
            (
                "@null@",
                "@{}@",
                "@[]@",
                "@5@",
                "",
                '@{"attributes":{"a":1}}@',
                '@{"completionStatus":"SUCCESS"}@',
                '@{"name":"n","attributeName":"a"}@',
            )
        )
    if name == "data_base64":
        return rng.choice(("@null@", "e30=", "", "@{}@"))
    return rng.choice((*WORDS, *NAMES))


def _raw(rng: Random) -> str:
    choice = rng.random()
    if choice < 0.9:
        return rng.choice(RAW)
    if choice < 0.96:
        depth = rng.randint(58, 68)
        return rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, '[{"a":' * 31 + "[]" + "}]" * 31))
    if choice < 0.975:
        return "[" * 2000 + "]" * (2000 - rng.choice((0, 0, 1)))
    if choice < 0.995:
        size = rng.choice((65_533, 65_534, 65_535, 65_536))
        return rng.choice((f'"{"x" * size}"', f'"{"é" * (size // 2)}"', f'"{"x" * (size - 6)}\\u0000"', "[" + "1e15," * 3640 + "1]"))
    return f'"{"x" * rng.choice((200_000, 1_048_576))}"'
