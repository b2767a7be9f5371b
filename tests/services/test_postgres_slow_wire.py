"""A wire that takes megabytes slowly: what a commit sends goes out whole before its answer is waited for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from tracker.stores.base import Commit
from tracker.stores.postgres import PostgresStore
from tracker.testing.stores.values import write

pytestmark = pytest.mark.timeout(60)
BUFFER_BYTES = 16_384
PAUSE_BYTES = 262_144


def _copied(of: socket.socket, to: socket.socket, pauses: bool) -> None:
    passed = 0
    with of, to:
        while some := of.recv(BUFFER_BYTES):
            to.sendall(some)
            if pauses and (passed := passed + len(some)) > PAUSE_BYTES:
                passed = 0
                threading.Event().wait(0.05)  # the sender meets a full buffer again and again


@pytest.fixture
def slow(database: str) -> Iterator[str]:
    """The database behind a proxy that takes 5 MB a second at most, with small buffers."""
    where = conninfo_to_dict(database)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                server = socket.create_connection((str(where["host"]), int(str(where["port"]))))
                for pair in ((client, server, True), (server.dup(), client.dup(), False)):
                    threading.Thread(target=_copied, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield database.replace(f":{where['port']}/", f":{listening.getsockname()[1]}/")
        listening.shutdown(socket.SHUT_RDWR)


def test_a_large_commit_goes_through_a_slow_wire(slow: str) -> None:
    """20 MB of states are sent and committed, however often the wire is full."""
    with PostgresStore(slow) as store:
        store.commit(Commit(writes=[write(f"t{number:05}", bytes([number % 256]) * 2_000) for number in range(10_000)]))
        assert len(store.load([f"t{number:05}" for number in range(10_000)])) == 10_000
