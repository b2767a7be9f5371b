"""Where a stored position goes on after its file was renamed away, compressed, cut or replaced.

A log is rotated by renaming: ``events.jsonl`` becomes ``events.jsonl.1`` (``events.jsonl-20260101``, ``events.jsonl.1.gz``, ...)
and a new file takes its name. The position stays with the old file, known by its first bytes, until all of it was read.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import NamedTuple

from tracker.errors import NotFound, SourceChanged, TrackerError
from tracker.model.records import Position
from tracker.sources.files import FileIdentity, identify, open_stream, shorter

_ROTATED = re.compile(r"[.-]\d[\w.-]*")
"""What rotation adds to a name. A file without a digit there (``.bak``, ``.lock``) is nobody's older part."""


class Sibling(NamedTuple):
    """A file beside a log that has the log's name and more."""

    path: str
    modified_ns: int
    identity: FileIdentity


def siblings(path: str) -> list[Sibling]:
    """The readable files named ``PATH.*`` or ``PATH-*``, oldest change first, plain ones before compressed ones of the same age.

    Compressing keeps the time of the last change, so that is the order in which they were written.
    """
    found: list[Sibling] = []
    for name in glob.glob(glob.escape(path) + "[.-]*"):  # noqa: PTH207 - it takes absolute patterns
        try:
            found.append(Sibling(name, Path(name).stat().st_mtime_ns, identify(name)))
        except (OSError, TrackerError):
            continue  # gone meanwhile, half compressed, or no regular file: none that could be read on
    return sorted(found, key=lambda sibling: (sibling.modified_ns, len(sibling.path)))


def files_between(path: str, old: FileIdentity, old_modified_ns: int) -> list[str]:
    """The rotated files that were written after the old one and before the one at ``path`` now: rotation happened more than once."""
    seen = {(old.length, old.digest)}
    try:
        current = identify(path)
        seen.add((current.length, current.digest))
    except (OSError, TrackerError):
        pass  # the next look finds it
    between: list[str] = []
    for sibling in siblings(path):
        content = (sibling.identity.length, sibling.identity.digest)
        later = sibling.modified_ns > old_modified_ns and _ROTATED.fullmatch(sibling.path[len(path) :])
        if later and content not in seen and sibling.identity.length:
            seen.add(content)
            between.append(sibling.path)
    return between


def files_from(path: str, position: Position) -> list[str]:
    """The files to read one after the other, the first one from ``position.next_offset``, the others from their beginning.

    That is ``path`` alone unless it was rotated since. Raises `TornFile` if the file was cut, `SourceChanged` if the one that the
    position belongs to can't be found, `NotFound` if nothing is at ``path``.
    """
    if not position.identity:
        return [path]
    stored = FileIdentity.parse(position.identity)
    if stored is None:
        raise _changed(path, position, "that is not a file")
    try:
        stream = open_stream(path)
    except NotFound:
        if (old := _find(path, stored)) is None:
            raise
        return [old.path, *files_between(path, old.identity, old.modified_ns)]  # the new file of the name is not made yet
    with stream:
        status, head = stream.status(), stream.head()
        same_inode = stored.same_inode == (status.st_dev, status.st_ino)
        if same_inode and not stream.compressed and status.st_size < position.next_offset:
            raise shorter(path, position.next_offset, status.st_size)
    known = stored.begins(head)
    if known and same_inode:
        return [path]
    old = _find(path, stored)
    if old is not None and (not known or old.identity.same_inode == stored.same_inode):
        return [old.path, *files_between(path, old.identity, old.modified_ns), path]
    if known or position.next_offset == 0:  # a copy of the file; or nothing was read of the other one, so nothing can be mixed up
        return [path]
    raise _changed(path, position, f"it begins otherwise now ({FileIdentity.of(status, head)})")


def _find(path: str, stored: FileIdentity) -> Sibling | None:
    """The rotated file with the stored first bytes; the same inode before others, since a copy may be half made."""
    if not stored.length:
        matching = [sibling for sibling in siblings(path) if sibling.identity.same_inode == stored.same_inode]
    else:
        matching = []
        for sibling in siblings(path):
            with open_stream(sibling.path) as stream:
                if stored.begins(stream.head()):
                    matching.append(sibling)
    return min(matching, key=lambda sibling: sibling.identity.same_inode != stored.same_inode, default=None)


def _changed(path: str, position: Position, found: str) -> SourceChanged:
    return SourceChanged(
        f"{path}: the store has read {position.identity} up to byte {position.next_offset}, but {found}, and no rotated copy of it "
        f"({path}.*) is beside it. Put the old file back there, or give --on-lost-offset=earliest to read the new one from its beginning, "
        f"or fold all logs again into a new store"
    )
