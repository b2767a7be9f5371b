"""Every setting of the command line: a flag, else the environment (``TRACKER_...``), else the file that TRACKER_CONFIG names, else the default.

Read by ``tracker.cli`` alone; everything below takes plain arguments.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, get_args

from tracker.errors import NotFound, UsageError
from tracker.model.kinds import TaskType

PREFIX = "TRACKER_"
CONFIG = "TRACKER_CONFIG"
"""Names a TOML file whose keys are the names below."""
LOST_OFFSET_POLICIES = ("stop", "earliest", "latest")
TASK_TYPES: tuple[TaskType, ...] = get_args(TaskType)
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]+)\s*(?:([KMG])i?B?|B)?", re.IGNORECASE)
_UNIT_BYTES = {None: 1, "K": 2**10, "M": 2**20, "G": 2**30}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to say of an unknown name: the near one, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"


def one_of(known: tuple[str, ...]) -> Callable[[str, str], str]:
    """A reader of a word out of a few: ``read(value, what)`` raises UsageError with the near one."""

    def read(value: str, what: str) -> str:
        if value not in known:
            raise UsageError(f"{what} can't be {value!r}: {did_you_mean(value, known)}")
        return value

    return read


def duration_s(text: str, what: str) -> float:
    """``500ms``, ``1s``, ``5m``, ``24h``, ``1d`` or a number of seconds, in seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{what} can't be {text!r}: expected a duration such as 500ms, 1s, 5m or 24h")
    return float(match[1]) * _UNIT_S[match[2]]


def age_s(text: str, what: str) -> float:
    """``90d``, ``12h`` or ``30m`` in seconds. What it decides can't be undone, so a number without a unit is not taken for seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or match[2] is None:
        raise UsageError(f"{what} can't be {text!r}: expected an age with its unit, such as 90d, 12h or 30m")
    return duration_s(text, what)


def _ages_by_type(text: str, what: str) -> dict[str, float]:
    ages = {}
    for pair in text.split(","):
        name, equals, age = (part.strip() for part in pair.partition("="))
        if not equals:
            raise UsageError(f"{what} can't be {text!r}: expected types with an age, such as QUARTZ=30d,QPOC=7d")
        ages[one_of(TASK_TYPES)(name, f"a type in {what}")] = age_s(age, what)
    return ages


def whole_seconds(text: str, what: str) -> int:
    """A duration of whole seconds."""
    seconds = duration_s(text, what)
    if seconds != int(seconds):
        raise UsageError(f"{what} can't be {text!r}: expected whole seconds")
    return int(seconds)


def size_bytes(text: str, what: str) -> int:
    """``1048576``, ``512K`` or ``1MiB`` in bytes."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise UsageError(f"{what} can't be {text!r}: expected a size such as 1048576, 512K or 1M")
    return int(match[1]) * _UNIT_BYTES[match[2].upper() if match[2] else None]


def count(text: str, what: str) -> int:
    """A whole number from 1."""
    if not (text.strip().isascii() and text.strip().isdigit() and int(text)):
        raise UsageError(f"{what} can't be {text!r}: expected a whole number from 1")
    return int(text)


def ratio(text: str, what: str) -> float:
    """``0.1`` or ``10%``; 0 is off."""
    number, percent = (text.strip()[:-1], 100.0) if text.strip().endswith("%") else (text, 1.0)
    try:
        value = float(number) / percent
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{what} can't be {text!r}: expected a ratio from 0 to 1, or per cent such as 10%; 0 is off")
    return value


def _text(value: str, what: str) -> str:
    if not value:
        raise UsageError(f"{what} can't be empty")
    return value


def _count_or_none(text: str, what: str) -> int:
    return 0 if text.strip() == "0" else count(text, what)


def _prefix(text: str, what: str) -> str:
    path = text.rstrip("/")
    if path and (not path.startswith("/") or not re.fullmatch(r"[\w./~-]+", path, re.ASCII) or "//" in path):
        raise UsageError(f"{what} can't be {text!r}: expected a path such as /tracker")
    return path


def _names(text: str, what: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or any("/" in name or ":" in name for name in names):
        raise UsageError(f"{what} can't be {text!r}: expected names without a port, such as tracker.example.org, commas between")
    return names


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, checked. None is the default of what it is given to."""

    source: str = "events.jsonl"
    store: str = "sqlite:///status.db"
    kafka_config: str | None = None
    instance: str | None = None
    exit_when_stuck: float | None = None
    """Seconds."""
    listen: str = "127.0.0.1:8080"
    serve: str | None = None
    """Where `tracker run` answers HTTP; None: it does not."""
    audit: int | None = None
    """Records a second that `tracker run` reads again to fold some tasks anew; None: it does not."""
    access: str | None = None
    token: str | None = field(default=None, repr=False)
    root_path: str = ""
    host_name: tuple[str, ...] = ()
    forwarded_from: str = ""
    rate: int | None = None
    """Requests in 10 s; 0: no limit."""
    on_lost_offset: str = "stop"
    max_batch_records: int = 10_000
    max_batch_age: float = 0.1
    """Seconds."""
    max_parked_ratio: float = 0.1
    max_record_bytes: int | None = None
    max_future: int | None = None
    """Seconds."""
    keep_completed: float | None = None
    """Seconds that tasks which have ended are kept; None: for ever."""
    keep_completed_type: Mapping[str, float] = field(default_factory=dict)
    """Likewise of single types, whatever is said of all."""
    log_level: str = "info"
    log_format: str = "text"
    given: frozenset[str] = frozenset()
    """The names of those that somebody has set."""

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """From the file and the environment. Raises UsageError for an unknown name or a wrong value, NotFound for the file."""
        settings = cls()
        if path := environment.get(CONFIG):
            settings = settings.with_texts({name: (value, f"{name} in {path}") for name, value in _read_toml(path).items()})
        texts = {}
        for variable, value in environment.items():
            name = variable.removeprefix(PREFIX).lower()
            if variable.startswith(PREFIX) and variable != CONFIG:
                if name in _READERS and value:
                    texts[name] = (value, variable)
                elif name not in _READERS and (near := difflib.get_close_matches(name, _READERS, n=1, cutoff=0.8)):
                    raise UsageError(f"the environment has an unknown {variable}: did you mean {PREFIX}{near[0].upper()}?")
        return settings.with_texts(texts)

    def with_flags(self, **flags: str | int | None) -> Self:
        """These settings with those flags that were given (not None)."""
        given = {name: (str(value), f"--{name.replace('_', '-')}") for name, value in flags.items() if value is not None}
        return self.with_texts(given)

    def with_texts(self, texts: Mapping[str, tuple[str, str]]) -> Self:
        """These settings with values read from text; with each value goes what to call it in a message."""
        changes: dict[str, Any] = {name: _READERS[name](value, what) for name, (value, what) in texts.items()}
        return replace(self, given=self.given | changes.keys(), **changes)


_READERS: dict[str, Callable[[str, str], Any]] = {
    "source": _text,
    "store": _text,
    "kafka_config": _text,
    "instance": _text,
    "exit_when_stuck": duration_s,
    "listen": _text,
    "serve": _text,
    "audit": count,
    "access": _text,
    "token": _text,
    "root_path": _prefix,
    "host_name": _names,
    "forwarded_from": _text,
    "rate": _count_or_none,
    "on_lost_offset": one_of(LOST_OFFSET_POLICIES),
    "max_batch_records": count,
    "max_batch_age": duration_s,
    "max_parked_ratio": ratio,
    "max_record_bytes": size_bytes,
    "max_future": whole_seconds,
    "keep_completed": age_s,
    "keep_completed_type": _ages_by_type,
    "log_level": one_of(LOG_LEVELS),
    "log_format": one_of(LOG_FORMATS),
}
assert set(_READERS) == {each.name for each in fields(Settings)} - {"given"}


def _read_toml(path: str) -> dict[str, str]:
    try:
        with Path(path).open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise NotFound(f"the settings {path} ({CONFIG}) can't be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"the settings {path} ({CONFIG}) are no TOML: {error}") from None
    for name in document:
        if name not in _READERS:
            raise UsageError(f"the settings {path} have an unknown {name!r}: {did_you_mean(name, _READERS)}")
    return {name: str(value) for name, value in document.items()}
