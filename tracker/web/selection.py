"""``fields=id,state,attributes.worker``: which members of a task an answer has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracker.errors import UsageError
from tracker.model.status import TaskExtension, TaskStatus
from tracker.query.fields import suggestion

STATUS = tuple(str(field.alias) for field in TaskStatus.model_fields.values())
EXTENSION = tuple(str(field.alias) for field in TaskExtension.model_fields.values())
MAX_FIELDS = 100
Selection = Callable[[dict[str, Any]], dict[str, Any]]


def parse_selection(text: str) -> Selection:
    """A function from a document to the members that were asked for, in the order of the document.

    Names are the 18 keys, ``tracker``, and ``tracker.NAME`` and ``attributes.KEY`` for one member of them; what a task does not have
    (all of ``tracker`` where the extension is not wanted) is left out. Raises UsageError for another name.
    """
    names = [name.strip() for name in text.split(",")]
    if len(names) > MAX_FIELDS:
        raise UsageError(f"fields: at most {MAX_FIELDS}, not {len(names)}")
    whole, inside = set[str](), dict[str, set[str]]()
    for name in names:
        head, dot, key = name.partition(".")
        if name in STATUS or name == "tracker":
            whole.add(name)
        elif dot and key and (head == "attributes" or (head == "tracker" and key in EXTENSION)):
            inside.setdefault(head, set()).add(key)
        else:
            known = [*STATUS, "tracker", *(f"tracker.{each}" for each in EXTENSION), "attributes.KEY"]
            raise UsageError(f'fields: there is no "{name}"{suggestion(name, known) or "; fields are " + ", ".join(known)}')

    def select(document: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value if name in whole else {key: value[key] for key in value if key in inside[name]}
            for name, value in document.items()
            if name in whole or name in inside
        }

    return select
