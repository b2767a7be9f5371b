"""Where a stored position goes on after its file was renamed away, compressed, cut or replaced.

A log is rotated by renaming: ``events.jsonl`` becomes ``events.jsonl.1`` (``events.jsonl-20260101``, ``events.jsonl.1.gz``, ...)
and a new file takes its name. The position stays with the old file, known by its first bytes, until all of it was read.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Collection
from typing import NamedTuple

from tracker.errors import NotFound, SourceChanged, TrackerError
from tracker.model.records import Position
from tracker.sources.files import FileIdentity, is_compressed, open_stream, shorter

_ROTATED = re.compile(r"[.-]\d[\w.-]*")
"""What rotation adds to a name. A file without a digit there (``.bak``, ``.lock``) is nobody's older part."""


class Part(NamedTuple):
    """A file that holds a part of a log: the one with the log's name, or a rotated one beside it."""

    path: str
    modified_ns: int
    identity: FileIdentity
    head: bytes
    """The first 4,096 bytes: of two files that are written no more, these tell whether one is a copy of the other."""
    size: int

    @classmethod
    def at(cls, path: str) -> Part:
        """The file that has this name now. Raises as `open_stream` does."""
        with open_stream(path) as stream:
            status = stream.status()
            head = stream.head()
            return cls(path, status.st_mtime_ns, FileIdentity.of(status, head), head, status.st_size)


def siblings(path: str) -> list[Part]:
    """The readable files named ``PATH.*`` or ``PATH-*``, oldest change first, plain ones before compressed ones of the same age.

    Compressing keeps the time of the last change, so that is the order in which they were written.
    """
    found: list[Part] = []
    for name in glob.glob(glob.escape(path) + "[.-]*"):  # noqa: PTH207 - it takes absolute patterns
        try:
            found.append(Part.at(name))
        except TrackerError:
            continue  # gone meanwhile, half compressed, or no regular file: none that could be read on
    return sorted(found, key=lambda part: (part.modified_ns, len(part.path)))


def next_part(path: str, old_modified_ns: int, finished_heads: Collection[bytes]) -> Part | None:
    """What to read after the old part of the log at ``path``: a rotated file that was written later (rotation happened more than once),
    else the file that has the name; None while neither is there.

    ``finished_heads`` are the first bytes of the parts that were read, the old one's too: a compressed or other copy of them is passed over.
    Names move on with every rotation, so this is asked for when the old part is finished, not before.
    """
    try:
        current = Part.at(path)
    except NotFound:
        current = None
    for part in siblings(path):
        is_later = part.modified_ns >= old_modified_ns and _ROTATED.fullmatch(part.path[len(path) :])
        is_copy = part.head in finished_heads or (current is not None and part.head == current.head)
        if is_later and part.head and not is_copy:
            return part
    return current


def locate(position: Position) -> Part:
    """The file that a position of the log named by its topic is in: the one of that name, or the same file rotated since.

    Raises `TornFile` if the file was cut, `SourceChanged` if the one that the position belongs to can't be found, `NotFound` if
    neither that nor a file of the name is there.
    """
    path, stored = position.topic, FileIdentity.parse(position.identity)
    if stored is None and position.identity:
        raise _changed(position, "that is not a file")
    try:
        current = Part.at(path)
    except NotFound:
        if stored is None or (old := _find(position, stored)) is None:
            raise
        return old  # the new file of the name is not made yet
    if stored is None:
        return current
    same_inode = stored.same_inode == current.identity.same_inode
    known = stored.begins(current.head)
    was_cut = same_inode and not is_compressed(path) and current.size < position.next_offset
    if known and same_inode and not was_cut:
        return current
    old = _find(position, stored)
    # An inode is given again once its file was compressed and removed; beside a plain copy it is copytruncate, which loses lines.
    if was_cut and (known or old is None or not is_compressed(old.path)):
        raise shorter(path, position.next_offset, current.size)
    if old is not None and (not known or old.identity.same_inode == stored.same_inode):
        return old
    if known or position.next_offset == 0:  # a copy of the file; or nothing was read of the other one, so nothing can be mixed up
        return current
    raise _changed(position, f"it begins otherwise now ({current.identity})")


def _find(position: Position, stored: FileIdentity) -> Part | None:
    """The rotated file with the stored first bytes; the same inode before others, since a copy may be half made."""

    def has_other_inode(part: Part) -> bool:
        return part.identity.same_inode != stored.same_inode

    matching = [part for part in siblings(position.topic) if stored.begins(part.head) and (stored.length or not has_other_inode(part))]
    return min(matching, key=has_other_inode, default=None)


def _changed(position: Position, found: str) -> SourceChanged:
    path = position.topic
    return SourceChanged(
        f"{path}: the store has read {position.identity} up to byte {position.next_offset}, but {found}, and no rotated copy of it "
        f"({path}.*) is beside it. Put the old file back there, or give --on-lost-offset=earliest to read the new one from its beginning, "
        f"or fold all there is again with 'tracker rebuild'",
        [position.at],
    )
