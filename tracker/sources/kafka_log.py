"""aiokafka's own log lines, tamed: users see one sentence of ours when a broker goes and one when it is back.

aiokafka writes an error line for every attempt of every connection. Here they become debug lines of ``tracker.kafka.client``,
and the last error is kept for our own sentence, which says why.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from aiokafka import errors

log = logging.getLogger("tracker.kafka.client")

# Credentials that a broker refuses are refused for ever: no back-off mends them.
REFUSED = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    ssl.SSLCertVerificationError,
)


class Ear:
    """What the clients of one source complained about since it was last asked."""

    def __init__(self) -> None:
        self._last: BaseException | str | None = None

    def hear(self, record: logging.LogRecord) -> None:
        """Keep the error of a warning or error line, the exception itself where the line carries one."""
        if record.levelno >= logging.WARNING:
            arguments = record.args if isinstance(record.args, tuple) else ()
            found = next((item for item in reversed(arguments) if isinstance(item, BaseException)), None)
            if isinstance(self._last, REFUSED):  # "unable to bootstrap" follows it and says less
                return
            if found is not None:
                self._last = found
            elif self._last is None:
                self._last = record.getMessage()

    def take(self) -> BaseException | str | None:
        """The last complaint, once."""
        last, self._last = self._last, None
        return last


_ear: ContextVar[Ear | None] = ContextVar("tracker_kafka_ear", default=None)


@contextmanager
def listening(ear: Ear) -> Iterator[None]:
    """Tasks started inside (aiokafka's background tasks) report to this ear for as long as they live."""
    _tame()
    token = _ear.set(ear)
    try:
        yield
    finally:
        _ear.reset(token)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        ear = _ear.get()
        if ear is not None:
            ear.hear(record)
        log.debug("%s", record.getMessage())


def _tame() -> None:
    """Once for the process; a program that has set the level of aiokafka's logger itself keeps its own handling."""
    client = logging.getLogger("aiokafka")
    if any(isinstance(handler, _Handler) for handler in client.handlers):
        return
    client.addHandler(_Handler())
    if client.level == logging.NOTSET:
        client.setLevel(logging.WARNING)
        client.propagate = False


def reason_of(error: BaseException | str | None) -> str:
    """An error in a few words for the end of a sentence."""
    text = " ".join(str(error or "no answer").split())
    return text if text and not isinstance(error, TimeoutError) else "no answer in time"
