"""Ports for servers that a test starts, and may stop and start again at the same place."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ANY = random.SystemRandom()
"""Property tests seed the shared one: each would be given the same ports."""


def _first_of_the_systems() -> int:
    """The lowest port that the system gives to connections that go out, which nobody else should count on."""
    return int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 49_152


def free_port() -> int:
    """A port of this machine that nobody listens on now, and that no connection will be given as its own.

    One that the system gives out can be somebody's while its server restarts, even of a client that waits for that server.
    """
    while True:
        port = _ANY.randrange(10_000, max(_first_of_the_systems(), 20_000))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
