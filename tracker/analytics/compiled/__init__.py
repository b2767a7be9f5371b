"""Stored states -> record batches in machine code, which Numba makes of plain Python: the road of great exports, where Numba is installed.

``cells.py`` has what the kernels read and write, ``tape.py`` takes MessagePack apart, ``json_text.py`` writes values, ``states.py`` reads a state out
with ``members.py`` and ``lists.py``; ``sheet.py`` calls them for a chunk of rows, ``gather.py`` and ``arrays.py`` make Arrow's arrays of it, ``batches.py`` does
that in threads. ``making.py`` has the machine code made. What is not as they expect it goes the other road, `tracker.analytics.flat`: it decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tracker.analytics.attributes import Attribute
from tracker.analytics.lean import with_numpy
from tracker.analytics.reading import has_rows
from tracker.query.base import Snapshot
from tracker.query.filters import Node
from tracker.query.tokens import Place

if TYPE_CHECKING:
    from tracker.analytics.compiled.batches import CompiledBatches

log = logging.getLogger("tracker.analytics")
LEAST_ROWS = 200_000
"""Of fewer rows it takes longer to load machine code, or once to make it, than it saves."""


def compiled_batches(
    snapshot: Snapshot,
    where: Node | None,
    since: Place | None,
    attributes: Sequence[Attribute],
    about: dict[str, Any],
    say: Callable[[str], None] = log.info,
) -> CompiledBatches | None:
    """What makes the batches of so many rows; None where they are too few, or changes, of which many are of tasks that are gone, or there is no Numba.

    The first time, machine code is made, and ``say`` is told so.
    """
    if since is not None or find_spec("numba") is None or not has_rows(snapshot, where, None, LEAST_ROWS):
        return None
    from tracker.analytics.compiled.making import have_made

    if not have_made(say):
        return None
    with_numpy()
    from tracker.analytics.compiled.batches import CompiledBatches

    return CompiledBatches(attributes, about)
