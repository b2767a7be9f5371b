"""Files that are followed: growing, rotated, cut, and known again by their identity."""

# ruff: noqa: ASYNC240 - these tests are about files, and small ones

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import shutil
from pathlib import Path

import pytest

from tests.unit.jsonl_reader import Reader, append, read_all, reading
from tracker.errors import SourceChanged, TornFile
from tracker.model.records import Position, TopicPartition
from tracker.sources.files import FileIdentity, identify
from tracker.sources.jsonl import JsonlSource


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The log, not made yet."""
    return tmp_path / "events.jsonl"


# Following


async def test_follow_waits_for_the_newline(path: Path) -> None:
    """A line that is written in pieces is one record, once its newline is there."""
    path.write_bytes(b"1\n2")
    async with reading(path, follow=True) as reader:
        await reader.read_until(lambda: reader.values() == [b"1"])
        for piece in (b"2", b"", b"2"):
            append(path, piece)
            await reader.read_once()
            assert reader.values() == [b"1"]
        append(path, b"\n3\n")
        await reader.read_until(lambda: reader.values() == [b"1", b"222", b"3"])
        (position,) = reader.positions.values()

    assert position.next_offset == path.stat().st_size


async def test_follow_waits_for_a_missing_file_and_says_so_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is not there yet is waited for, with one line in the log."""
    async with JsonlSource([path], follow=True, poll_s=0.01) as source:
        waiting = asyncio.create_task(_assigned(source))
        with caplog.at_level(logging.WARNING):
            finished, _ = await asyncio.wait([waiting], timeout=0.2)  # about 20 looks
            assert not finished
            path.write_bytes(b"1\n")
            assert await asyncio.wait_for(waiting, 10) == {str(path)}

    assert [record.getMessage() for record in caplog.records] == [f"{path} is not there yet; waiting for it"]


async def _assigned(source: JsonlSource) -> set[str]:
    return {at.topic for at in await source.assigned()}


async def test_follow_takes_up_new_files(tmp_path: Path) -> None:
    """A file that newly matches a glob changes the assignment; the other files go on where they were."""
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    async with reading(tmp_path / "*.jsonl", follow=True) as reader:
        await reader.read_until(lambda: reader.values("a.jsonl") == [b"1"])
        (tmp_path / "b.jsonl").write_bytes(b"2\n")
        append(tmp_path / "a.jsonl", b"3\n")
        await reader.read_until(lambda: bool(reader.values("b.jsonl")) and len(reader.values("a.jsonl")) > 1)

    assert reader.lines == {"a.jsonl": [(0, b"1"), (2, b"3")], "b.jsonl": [(0, b"2")]}


async def test_follow_reads_busy_files_in_turn(tmp_path: Path) -> None:
    """A file that always has more does not keep the others from being read."""
    (tmp_path / "a.jsonl").write_bytes(b"1\n" * 1_000)
    (tmp_path / "b.jsonl").write_bytes(b"2\n" * 10)
    async with reading(tmp_path / "*.jsonl", follow=True) as reader:
        for _ in range(3):
            await reader.read_once(max_records=5)

    assert set(reader.lines) == {"a.jsonl", "b.jsonl"}


async def test_follow_waits_at_a_compressed_file_that_is_being_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Followed, a compressed stream that ends too early may go on; the log says that it is waited for."""
    file = tmp_path / "a.jsonl.gz"
    text = b"".join(b"%d\n" % number for number in range(1_000))
    whole = gzip.compress(text)
    file.write_bytes(whole[:-5])
    async with reading(file, follow=True) as reader:
        with caplog.at_level(logging.WARNING):
            await reader.read_until(lambda: "in the middle" in caplog.text)
        append(file, whole[-5:] + gzip.compress(b"end\n"))
        await reader.read_until(lambda: reader.values("a.jsonl.gz")[-1:] == [b"end"])

    assert len(reader.values("a.jsonl.gz")) == 1_001


# Rotation


async def test_a_rotated_file_is_finished_before_the_new_one(path: Path) -> None:
    """After a rename, what the old file still gets is read, its unterminated last line too; then the new one from 0, in another batch."""
    path.write_bytes(b"1\n")
    async with reading(path, follow=True) as reader:
        await reader.read_until(lambda: reader.values() == [b"1"])
        old = path.rename(path.with_name("events.jsonl.1"))
        append(old, b"2\n3")
        await reader.read_until(lambda: reader.values() == [b"1", b"2"])
        path.write_bytes(b"4\n")
        seen: list[tuple[str, list[int]]] = []
        while reader.values() != [b"1", b"2", b"3", b"4"]:
            before = len(reader.values())
            await reader.read_once()
            (position,) = reader.positions.values()
            seen.append((position.identity, [offset for offset, _ in reader.lines["events.jsonl"][before:]]))

    old_identity, new_identity = str(identify(str(old))), str(identify(str(path)))
    assert [each for each in seen if each[1]] == [(old_identity, [4]), (new_identity, [0])]
    assert [(each.identity, each.next_offset) for each in reader.positions.values()] == [(new_identity, 2)]


async def test_an_empty_new_file_does_not_end_the_old_one(path: Path) -> None:
    """While the writer has not written to the new file, it may still write to the old one: that is read."""
    path.write_bytes(b"1\n")
    async with reading(path, follow=True) as reader:
        await reader.read_until(lambda: reader.values() == [b"1"])
        old = path.rename(path.with_name("events.jsonl.1"))
        path.write_bytes(b"")
        await reader.read_once()
        append(old, b"2\n")
        await reader.read_until(lambda: reader.values() == [b"1", b"2"])
        append(path, b"3\n")
        await reader.read_until(lambda: reader.values() == [b"1", b"2", b"3"])


def rotate(path: Path, times: int = 1) -> None:
    """As logrotate does, with times of change one second apart."""
    for number in range(9, 0, -1):
        for suffix in ("", ".gz"):
            old = path.with_name(f"{path.name}.{number}{suffix}")
            if old.exists():
                old.rename(path.with_name(f"{path.name}.{number + 1}{suffix}"))
    path.rename(path.with_name(f"{path.name}.1"))
    os.utime(path.with_name(f"{path.name}.1"), (1_000_000 + times, 1_000_000 + times))


async def test_a_file_renamed_between_claim_and_seek_is_found(path: Path) -> None:
    """Where the new file of the name is not there yet, the renamed one is followed until it is."""
    path.write_bytes(b"1\n2\n")
    async with reading(path) as first:
        await first.read_once(1)
    async with JsonlSource([path], follow=True, poll_s=0.01) as source:
        reader = Reader(source)
        await source.assigned()
        rotate(path)
        await source.seek(first.positions.values())
        await reader.read_until(lambda: reader.values() == [b"2"])
        path.write_bytes(b"3\n")
        await reader.read_until(lambda: reader.values() == [b"2", b"3"])


@pytest.mark.parametrize("follow", [False, True])
async def test_a_restart_after_a_rotation_finishes_the_old_file(path: Path, follow: bool) -> None:
    """A stored position in a file that was renamed since goes on in the renamed one, then in the new one."""
    path.write_bytes(b"1\n2\n")
    async with reading(path) as first:
        await first.read_once(1)
    rotate(path)
    path.write_bytes(b"3\n")
    async with reading(path, positions=first.positions.values(), follow=follow) as reader:
        await reader.read_until(lambda: reader.values() == [b"2", b"3"])
        await reader.read_once()

    assert reader.positions[TopicPartition(str(path), 0)] == Position(str(path), 0, 2, str(identify(str(path))))


async def test_a_restart_after_two_rotations_misses_no_file(path: Path) -> None:
    """A file that came and went while the tracker was down is read between the old one and the new one."""
    path.write_bytes(b"1\n2\n")
    async with reading(path) as first:
        await first.read_once(1)
    rotate(path, 1)
    path.write_bytes(b"3\n")
    rotate(path, 2)
    path.write_bytes(b"4\n")
    path.with_name("events.jsonl.bak").write_bytes(b"no part of the log\n")
    path.with_name("events.jsonl.2.gz").write_bytes(gzip.compress(b"1\n2\n"))

    assert (await read_all(path, positions=first.positions.values())).values() == [b"2", b"3", b"4"]


async def test_two_rotations_while_following_miss_no_file(path: Path) -> None:
    """The same between two looks of a running tracker."""
    path.write_bytes(b"1\n")
    os.utime(path, (1_000_000, 1_000_000))
    async with reading(path, follow=True) as reader:
        await reader.read_until(lambda: reader.values() == [b"1"])
        rotate(path, 1)
        path.write_bytes(b"2\n")
        rotate(path, 2)
        path.write_bytes(b"3\n")
        await reader.read_until(lambda: reader.values() == [b"1", b"2", b"3"])


async def test_a_rotated_and_compressed_file_is_known_by_its_content(path: Path) -> None:
    """Compressing makes another inode; the first bytes tell that it is the old file, and the offset is the same in it."""
    path.write_bytes(b"1\n2\n")
    async with reading(path) as first:
        await first.read_once(1)
    path.with_name("events.jsonl-20260101.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    for text in (b"3\n", b"3\n4\n5\n"):  # on most file systems the first one gets the inode of the old file
        path.write_bytes(text)
        assert (await read_all(path, positions=first.positions.values())).values() == [b"2", *text.split()]


async def test_a_rotated_file_with_the_same_first_line_is_told_by_its_inode(path: Path) -> None:
    """Where old and new begin alike, the renamed file has the inode of the position."""
    path.write_bytes(b"same\n2\n")
    async with reading(path) as first:
        await first.read_once(1)
    rotate(path)
    path.write_bytes(b"same\n3\n")

    assert (await read_all(path, positions=first.positions.values())).values() == [b"2", b"same", b"3"]


async def test_a_copied_file_is_the_same_file(path: Path) -> None:
    """A file that was restored from a copy (another inode, same first bytes) goes on where it was."""
    path.write_bytes(b"1\n2\n")
    async with reading(path) as first:
        await first.read_once(1)
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)

    assert (await read_all(path, positions=first.positions.values())).values() == [b"2"]


async def test_another_file_under_the_name_is_refused(path: Path) -> None:
    """Where the old file is nowhere, the error names the file, what was expected and the choices."""
    path.write_bytes(b"1\n2\n")
    async with reading(path) as first:
        await first.read_once(1)
    other = path.with_name("other")
    other.write_bytes(b"3\n4\n")
    other.replace(path)
    with pytest.raises(SourceChanged, match=r"events\.jsonl: the store has read file:.* up to byte 2.*--on-lost-offset=earliest"):
        await read_all(path, positions=first.positions.values())


async def test_nothing_read_is_nothing_lost(path: Path) -> None:
    """A position at 0 of a file that is gone begins the new file: nothing of the old one was folded."""
    path.write_bytes(b"3\n")
    position = Position(str(path), 0, 0, "file:1:1:9-0011223344556677")

    assert (await read_all(path, positions=[position])).values() == [b"3"]


# Truncation


async def test_a_truncated_file_is_refused_at_seek(path: Path) -> None:
    """A file shorter than the stored position is `TornFile` with path, position, size and what to do."""
    path.write_bytes(b"1\n22\n")
    first = await read_all(path)
    os.truncate(path, 2)
    with pytest.raises(TornFile, match=r"events\.jsonl was read up to byte 5, but is only 2 bytes.*copytruncate"):
        await read_all(path, positions=first.positions.values())


@pytest.mark.parametrize("copied", [False, True])
async def test_copytruncate_is_refused_at_seek(path: Path, copied: bool) -> None:
    """Also where new lines begin the file again, and with the copy beside it: what came between copy and cut is lost."""
    path.write_bytes(b"1\n22\n")
    first = await read_all(path)
    if copied:
        shutil.copy(path, path.with_name("events.jsonl.1"))
    os.truncate(path, 0)
    append(path, b"3\n")
    with pytest.raises(TornFile, match="copytruncate"):
        await read_all(path, positions=first.positions.values())


async def test_copytruncate_is_refused_while_following(path: Path) -> None:
    """A file that is cut in place while it is followed is `TornFile`, not silence."""
    path.write_bytes(b"1\n22\n")
    async with reading(path, follow=True) as reader:
        await reader.read_until(lambda: len(reader.values()) == 2)
        os.truncate(path, 0)
        with pytest.raises(TornFile, match="copytruncate"):
            await reader.read_until(lambda: False)


async def test_a_file_written_anew_in_place_is_refused_while_following(path: Path) -> None:
    """Also where the new content is longer than the old was, so that the size tells nothing."""
    path.write_bytes(b"1\n22\n")
    async with reading(path, follow=True) as reader:
        await reader.read_until(lambda: len(reader.values()) == 2)
        await reader.read_once()
        path.write_bytes(b"other\nlines\nand more\n")
        with pytest.raises(TornFile, match="anew in place"):
            await reader.read_until(lambda: False)

    assert reader.values() == [b"1", b"22"]


# Identity


def test_the_identity_is_stable_while_the_file_grows(path: Path) -> None:
    """From its first complete line on, a file has one identity; it can be read back from its text."""
    path.write_bytes(b"first line\n")
    first = identify(str(path))
    append(path, b"x" * 10_000 + b"\n")

    assert identify(str(path)) == first
    assert FileIdentity.parse(str(first)) == first
    assert FileIdentity.parse("kafka:cluster") is None


async def test_the_identity_of_a_file_that_begins_empty_is_settled_by_its_first_line(path: Path) -> None:
    """A file followed from its first byte on gets its identity as soon as it has a line."""
    path.write_bytes(b"")
    async with reading(path, follow=True) as reader:
        for piece in (b"fir", b"st\n", b"2\n"):
            append(path, piece)
            await reader.read_once()
        await reader.read_until(lambda: len(reader.values()) == 2)
        (position,) = reader.positions.values()

    assert position.identity == str(identify(str(path)))
