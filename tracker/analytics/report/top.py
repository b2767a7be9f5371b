"""The tasks with the greatest lengths of time among any number of them."""

from __future__ import annotations

from operator import itemgetter


class Top:
    """Keeps the ``size`` greatest, of equal ones those with the least ids; ``keep`` may stand in memory meanwhile."""

    def __init__(self, size: int, keep: int = 1_000) -> None:
        self._size, self._keep = size, max(size, keep)
        self._held: list[tuple[int, str]] = []
        self._least: int | None = None
        """Nothing smaller can be among them."""

    def add(self, length_us: int, id: str) -> None:
        """Take one task."""
        if self._least is not None and length_us < self._least:
            return
        self._held.append((length_us, id))
        if len(self._held) > self._keep:
            self._held = self.told()
            self._least = self._held[-1][0]

    def told(self) -> list[tuple[int, str]]:
        """The greatest first."""
        self._held.sort(key=itemgetter(1))
        self._held.sort(key=itemgetter(0), reverse=True)
        return self._held[: self._size]
