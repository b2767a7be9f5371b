"""Makes the machine code, by calling what Python calls of it: see ``making.py``."""

from tracker.analytics.compiled.gather import ARE_WRITTEN, TEXT_COLUMNS, gather
from tracker.analytics.compiled.sheet import Sheet

sheet = Sheet()
gather(sheet.read([], []), sheet.written, sheet.cells, TEXT_COLUMNS, ARE_WRITTEN)
