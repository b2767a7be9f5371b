"""The spool between the thread that makes a table and the client that reads it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tracker.web.spool import Gone, Spool, SpooledText


async def test_everything_comes_in_order() -> None:
    """What is written while it is read comes out as it was written."""
    spool = Spool()

    def make() -> None:
        text = SpooledText(spool)
        for number in range(100_000):
            text.write(f"{number}\n")
        text.flush()

    making = asyncio.create_task(asyncio.to_thread(make))
    pieces = [piece async for piece in spool.sent(making)]
    assert pieces[0] == b""
    assert b"".join(pieces) == "".join(f"{number}\n" for number in range(100_000)).encode()


async def test_who_leaves_ends_the_making() -> None:
    """The next write of the making thread fails, so that it lets go of its snapshot."""
    spool, written, left, ended = Spool(), threading.Event(), threading.Event(), threading.Event()

    def make() -> None:
        spool.write(b"some")
        written.set()
        left.wait(10)
        try:
            spool.write(b"more")
        except Gone:
            ended.set()

    making = asyncio.create_task(asyncio.to_thread(make))
    pieces = spool.sent(making)
    assert [await anext(pieces), await anext(pieces)] == [b"", b"some"]
    await pieces.aclose()
    left.set()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_an_error_of_the_making_comes_out() -> None:
    """Whoever reads gets it; a response that has begun breaks off."""
    spool = Spool()

    def make() -> None:
        spool.write(b"some")
        raise ValueError("broken")

    making = asyncio.create_task(asyncio.to_thread(make))
    pieces = spool.sent(making)
    with pytest.raises(ValueError, match="broken"):
        async for _ in pieces:
            pass
