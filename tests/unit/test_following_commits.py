"""Waking those that follow a store, and the tokens they go on from."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic

import pytest

from tracker.errors import StoreUnavailable, UsageError
from tracker.model.records import Position
from tracker.query.commits import Commits
from tracker.query.tokens import BEGINNING, Place, from_token, from_vector, to_token, to_vector


class Scripted:
    """Waits for what a test does."""

    def __init__(self) -> None:
        self.happened = threading.Semaphore(0)
        self.fails = False
        self.closed = 0

    def wait(self, stop: threading.Event) -> bool:
        self.happened.acquire()
        if self.fails:
            self.fails = False
            raise StoreUnavailable("away")
        return not stop.is_set()

    def wake(self) -> None:
        self.happened.release()

    def close(self) -> None:
        self.closed += 1


async def ended() -> None:
    """No thread waits any more."""
    deadline = monotonic() + 5
    while any(thread.name == "tracker-commits" for thread in threading.enumerate()):
        assert monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_every_listener_is_woken():
    """A commit wakes all that listen, and who listens no more does not hear of it."""
    scripted = Scripted()
    commits = Commits(lambda: scripted)
    async with asyncio.timeout(5), commits.listening() as one:
        async with commits.listening() as other:
            scripted.happened.release()
            await asyncio.gather(one.wait(), other.wait())
            other.clear()
        one.clear()
        scripted.happened.release()
        await one.wait()
        assert not other.is_set()
    await ended()
    assert scripted.closed == 1


async def test_a_new_listener_after_the_last_is_woken():
    """The thread ends with its last listener; the next one gets a new thread, even before the old one has ended."""
    waits = [Scripted(), Scripted()]
    made = iter(waits)
    commits = Commits(lambda: next(made))
    async with asyncio.timeout(5):
        async with commits.listening():
            pass
        async with commits.listening() as event:
            for each in waits:
                each.happened.release()
            await event.wait()
    await ended()


async def test_an_error_of_the_store_wakes_and_is_survived():
    """Who is woken meets the error itself, if it lasts; waiting begins again with a new connection."""
    scripted = Scripted()
    scripted.fails = True
    commits = Commits(lambda: scripted)
    async with asyncio.timeout(5), commits.listening() as event:
        scripted.happened.release()
        await event.wait()
        event.clear()
        scripted.happened.release()
        await event.wait()
    await ended()
    assert scripted.closed == 2


def test_a_token_names_its_store_and_place():
    """A token is read back as it was made; the beginning is any store's."""
    assert from_token(to_token("0123456789abcdef", 17)) == Place("0123456789abcdef", 17)
    assert from_token(BEGINNING) == Place("", 0)


def test_a_vector_is_read_back():
    """Topic, partition, offset and identity come back; the text is URL-safe."""
    positions = [Position("tópic", 3, 2**62, "kafka:x"), Position("/log", 0, 5)]
    assert from_vector(to_vector(positions)) == positions
    assert to_vector(positions).replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("text", ["x", "AAAA", "ü", "gA==="])
def test_what_is_no_vector_is_said_so(text):
    """Anything else is refused with one sentence."""
    with pytest.raises(UsageError, match="expected a position vector"):
        from_vector(text)
