"""Files of JSON lines: what a record is, which files are read, resuming, compression, ranges."""

# ruff: noqa: ASYNC240 - these tests are about files, and small ones

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest
import zstandard

from tests.unit.jsonl_reader import Reader, read_all, reading
from tracker.errors import NotFound, SourceError, TornFile, UsageError
from tracker.model.records import Position, TopicPartition
from tracker.sources.files import identify
from tracker.sources.jsonl import JsonlSource, byte_ranges, read_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The log, not made yet."""
    return tmp_path / "events.jsonl"


# What a record is


async def test_blank_lines_are_no_records(path: Path) -> None:
    """Empty lines and lines of white space are passed over, and the position goes over them."""
    path.write_bytes(b"\n1\n\n  \t\r\n22\r\n\n")
    reader = await read_all(path)

    assert reader.lines["events.jsonl"] == [(1, b"1"), (9, b"22\r")]
    assert [position.next_offset for position in reader.positions.values()] == [path.stat().st_size]


async def test_the_last_line_needs_no_newline(path: Path) -> None:
    """A bounded read takes a last line without newline; its position is the end of the file."""
    path.write_bytes(b"1\n22")
    reader = await read_all(path)

    assert reader.lines["events.jsonl"] == [(0, b"1"), (2, b"22")]
    assert reader.positions[TopicPartition(str(path), 0)].next_offset == 4


async def test_an_empty_file_has_ended(path: Path) -> None:
    """An empty file has no records and is no error."""
    path.write_bytes(b"")

    assert (await read_all(path)).lines == {}


@pytest.mark.parametrize("block", [1, 2, 3, 5, 64])
async def test_the_size_of_blocks_changes_nothing(path: Path, block: int) -> None:
    """Lines that are spread over any number of reads are whole, at their offsets."""
    path.write_bytes(b"\n".join([b"a" * length for length in (1, 0, 9, 2, 30, 0, 0, 4)]))
    whole = await read_all(path)

    assert (await read_all(path, block=block)).lines == whole.lines


async def test_every_position_is_a_place_to_go_on(path: Path) -> None:
    """For random files and batches: what was read before a position and after it is the whole."""
    rng = random.Random(7)
    for _ in range(20):
        path.write_bytes(b"\n".join(rng.choice([b"", b" ", b"x" * rng.randrange(1, 40)]) for _ in range(rng.randrange(30))))
        whole = (await read_all(path)).lines.get("events.jsonl", [])
        async with reading(path, block=rng.randrange(1, 50)) as reader:
            ended = False
            while not ended:
                ended = await reader.read_once(rng.randrange(1, 5))
                rest = await read_all(path, positions=reader.positions.values())
                assert reader.lines.get("events.jsonl", []) + rest.lines.get("events.jsonl", []) == whole


async def test_a_line_over_the_bound_is_refused_by_name_and_byte(path: Path) -> None:
    """A line longer than `max_record_bytes` is an error that names the file and the byte."""
    path.write_bytes(b"1\n" + b"x" * 200 + b"\n2\n")
    for block_bytes in (50, 1_000):
        async with JsonlSource([path], max_record_bytes=100, block_bytes=block_bytes) as source:
            reader = Reader(source)
            await reader.begin()
            with pytest.raises(SourceError, match=r"events\.jsonl.* byte 2 .*100 bytes"):
                await reader.read_until(lambda: False)


async def test_a_batch_is_bounded_in_bytes(path: Path) -> None:
    """Large records make small batches."""
    path.write_bytes((b"x" * 999 + b"\n") * 100)
    async with JsonlSource([path], max_batch_bytes=10_000, block_bytes=2_000) as source:
        await source.assigned()
        await source.seek([])

        assert (await source.read(1_000, 0.1)).record_count <= 12


# Which files


async def test_files_are_read_in_sorted_order(tmp_path: Path) -> None:
    """A glob is expanded in sorted order; each file is a topic of its own, named by its absolute path; a name twice is read once."""
    for name in ("b.jsonl", "a.jsonl", "c.jsonl"):
        (tmp_path / name).write_bytes(name.encode())
    reader = await read_all(tmp_path / "*.jsonl", tmp_path / "a.jsonl")

    assert list(reader.lines) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert all(Path(at.topic).is_absolute() and len(reader.values(Path(at.topic).name)) == 1 for at in reader.positions)


async def test_a_missing_file_is_named(path: Path) -> None:
    """A file that is not there is one sentence with its name and a way on."""
    with pytest.raises(NotFound, match=r"events\.jsonl is not there.*--follow"):
        await read_all(path)
    with pytest.raises(NotFound, match=r"no file matches .*\*\.gz"):
        await read_all(path.parent / "*.gz")


async def test_a_folder_and_a_pipe_are_wrong_usage(tmp_path: Path) -> None:
    """A folder or a pipe as a path is refused with what to name instead."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"folder.*\*\.jsonl"):
        await read_all(tmp_path)
    with pytest.raises(UsageError, match="standard input"):
        await read_all(tmp_path / "pipe")


async def test_progress_counts_bytes_of_the_files(tmp_path: Path) -> None:
    """`bytes_read` goes from 0 to `bytes_total`; compressed files count as they are on the disk."""
    (tmp_path / "a.jsonl").write_bytes(b"1\n" * 500)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"1\n" * 500))
    async with reading(tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz") as reader:
        assert reader.source.bytes_read == 0
        while not await reader.read_once():
            pass

        assert reader.source.bytes_read == reader.source.bytes_total == sum(each.stat().st_size for each in tmp_path.iterdir())


# Compressed files


def compress(text: bytes, name: str) -> bytes:
    """By the file's name."""
    return gzip.compress(text) if name.endswith(".gz") else zstandard.compress(text)


@pytest.fixture(params=["events.jsonl.gz", "events.jsonl.zst"])
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A compressed log, not made yet."""
    return tmp_path / str(request.param)


async def test_a_compressed_file_is_resumed_at_its_decompressed_offset(packed: Path) -> None:
    """The position in a compressed file counts decompressed bytes, and reading goes on there; so its end is known when it is reached."""
    packed.write_bytes(compress(b"".join(b"%d\n" % number for number in range(100_000)), packed.name))
    async with reading(packed) as reader:
        await reader.read_once(70_000)
        assert await reader.source.ends() == {}
        position = reader.positions[TopicPartition(str(packed), 0)]
    async with reading(packed, positions=[position]) as rest:
        while not await rest.read_once(10_000):
            pass
        ends = await rest.source.ends()

    assert reader.values(packed.name) + rest.values(packed.name) == [b"%d" % number for number in range(100_000)]
    assert ends == rest.positions


async def test_a_finished_compressed_file_gives_nothing_again(packed: Path) -> None:
    """A replay of a file that was read to its end ends at once."""
    packed.write_bytes(compress(b"1\n2\n", packed.name))
    first = await read_all(packed)

    assert (await read_all(packed, positions=first.positions.values())).lines == {}


async def test_a_cut_compressed_file_is_torn_after_what_is_whole(packed: Path) -> None:
    """Of a stream that was cut, whole lines are given first; then comes `TornFile` with the file and the byte."""
    rng = random.Random(1)
    text = b"".join(rng.randbytes(30).hex().encode() + b"\n" for _ in range(20_000))
    whole = compress(text, packed.name)
    packed.write_bytes(whole[: len(whole) // 2])
    async with reading(packed) as reader:
        with pytest.raises(TornFile, match=rf"{packed.name}.*byte \d+"):
            await reader.read_until(lambda: False)

    lines = reader.values(packed.name)
    assert lines
    assert lines == text.split(b"\n")[: len(lines)]


async def test_garbage_in_a_compressed_file_is_torn(packed: Path) -> None:
    """What is no gzip or zstd stream, whatever its name says, is `TornFile`."""
    packed.write_bytes(b'{"id":1}\n' * 10)
    with pytest.raises(TornFile, match=packed.name):
        await read_all(packed)


async def test_an_empty_compressed_file_has_ended(packed: Path) -> None:
    """No byte at all, and the compressed form of nothing, are no error."""
    for content in (b"", compress(b"", packed.name)):
        packed.write_bytes(content)
        assert (await read_all(packed)).lines == {}


async def test_a_position_after_the_end_of_a_compressed_file_is_torn(packed: Path) -> None:
    """A compressed file that holds less than was read of it is refused at seek."""
    packed.write_bytes(compress(b"1\n2\n3\n", packed.name))
    position = Position(str(packed), 0, 7, str(identify(str(packed))))
    with pytest.raises(TornFile, match=r"byte 7.*6 bytes"):
        await read_all(packed, positions=[position])


async def test_zero_bytes_after_gzip_are_padding(tmp_path: Path) -> None:
    """Zero bytes between and after gzip members, as tapes leave them, are no damage."""
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b"1\n") + bytes(512) + gzip.compress(b"2\n") + bytes(512))

    assert (await read_all(file)).values("a.jsonl.gz") == [b"1", b"2"]


# Ranges for parallel replay


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 50])
def test_ranges_are_cut_at_line_ends_and_cover_the_file(path: Path, parts: int) -> None:
    """Ranges follow each other, begin where a line begins, and hold all lines, however many and whatever blocks they are read in."""
    rng = random.Random(parts)
    for _ in range(20):
        lines = [b"x" * rng.choice([0, 1, 5, 60]) for _ in range(rng.randrange(40))]
        text = b"\n".join(lines)
        path.write_bytes(text)
        ranges = byte_ranges(str(path), parts)
        read: list[tuple[int, bytes]] = []
        for begin, end in ranges:
            for offset, block in read_lines(str(path), begin, end, block_bytes=rng.randrange(1, 30)):
                read += offsets_of(block, offset)

        assert len(ranges) <= parts
        assert [end for _, end in ranges[:-1]] == [begin for begin, _ in ranges[1:]]
        assert all(begin < end and text[begin - 1 : begin] in (b"", b"\n") for begin, end in ranges)
        assert [pair for pair in read if pair[1]] == [pair for pair in offsets_of(lines) if pair[1]]


def offsets_of(lines: list[bytes], begin: int = 0) -> list[tuple[int, bytes]]:
    """Each line with the byte where it begins."""
    return [(begin + sum(map(len, lines[:index])) + index, line) for index, line in enumerate(lines)]


def test_ranges_go_on_from_a_position(path: Path) -> None:
    """What was read before is left out."""
    path.write_bytes(b"1\n" * 100)

    assert byte_ranges(str(path), 2, start=100) == [(100, 150), (150, 200)]


def test_a_compressed_file_has_no_ranges(tmp_path: Path) -> None:
    """A compressed file can't be cut."""
    with pytest.raises(UsageError, match="compressed"):
        byte_ranges(str(tmp_path / "a.gz"), 2)
