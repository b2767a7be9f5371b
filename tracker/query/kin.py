"""A task among its kin: the ancestors by ``parentId`` up to the root, and all descendants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from tracker.errors import UsageError
from tracker.query.base import Question, Row, Snapshot

MAX_TASKS = 10_000
MAX_DEPTH = 100
"""Levels up, and as many down: JSON readers, and Python, bear some hundred levels of nesting."""


class TreeNode(msgspec.Struct, rename="camel"):
    """One task of a tree."""

    id: str
    unique_name: str | None = None
    """None, as the next three, of a missing task."""
    state: str | None = None
    completion_status: str | None = None
    percent_complete: int | None = None
    mark: Literal["missing", "cycle", "cut"] | None = None
    """missing: a parent that the store does not have, or that is deleted; cycle: a task that stands in the tree already, so its children
    are not repeated; cut: it has more kin than is shown."""
    children: list[TreeNode] = []
    """By id."""


class Tree(msgspec.Struct):
    """The tree around one task."""

    id: str
    """The task that was asked for."""
    root: TreeNode
    """The topmost ancestor known. Above the task each node has one child: the way down to it."""
    tasks: int
    """Different tasks in the tree, without missing ones."""
    cut: bool
    """Whether a limit ended it, so that some kin is not shown; the nodes where that is are marked."""

    def to_json(self) -> dict[str, Any]:
        """``{"id", "tasks", "cut", "root"}``, a node as ``{"id", "uniqueName", "state", …, "mark", "children"}``."""
        return {"id": self.id, "tasks": self.tasks, "cut": self.cut, "root": msgspec.to_builtins(self.root)}


def tree(id: str, *, max_tasks: int = 1_000, max_depth: int = 50) -> Question[Tree | None]:
    """The tree of a task, with at most so many tasks, levels above and levels below; None if there is no such task."""
    if not 1 <= max_tasks <= MAX_TASKS or not 0 <= max_depth <= MAX_DEPTH:
        raise UsageError(
            f"a tree has 1 to {MAX_TASKS:,} tasks and a depth of 0 to {MAX_DEPTH}, not {max_tasks:,} tasks and a depth of {max_depth:,}"
        )

    def question(snapshot: Snapshot) -> Tree | None:
        row = snapshot.task(id)
        if row is None or row.state.deleted:
            return None
        task = _node(row)
        known = {id: task}
        root = task
        for depth, above in enumerate(_ancestors(snapshot, row)):
            if above.id in known:
                above.mark = "cycle"
            elif above.mark is None:
                if depth == max_depth or len(known) == max_tasks:
                    root.mark = "cut"
                    break
                known[above.id] = above
            above.children = [root]
            root = above
            if above.mark is not None:
                break
        _descend(snapshot, task, known, max_tasks, max_depth)
        return Tree(id, root, len(known), any(node.mark == "cut" for node in known.values()))

    return question


def _node(row: Row) -> TreeNode:
    columns = row.columns
    assert columns is not None, "a deleted task is nobody's child"
    return TreeNode(row.id, columns.unique_name, columns.state, columns.completion_status, columns.percent_complete, children=[])


def _ancestors(snapshot: Snapshot, row: Row | None) -> Iterator[TreeNode]:
    """From the parent upwards, for ever where they go round; a missing one is the last."""
    while row is not None and row.columns is not None and (parent := row.columns.parent_id) is not None:
        row = snapshot.task(parent)
        yield TreeNode(parent, mark="missing") if row is None or row.state.deleted else _node(row)


def _descend(snapshot: Snapshot, task: TreeNode, known: dict[str, TreeNode], max_tasks: int, max_depth: int) -> None:
    """Add the descendants, level by level, so that a cut takes the farthest."""
    level = {task.id: task}
    for depth in range(max_depth + 1):
        # One more than there is room for tells whether something is cut; those that are known take no room.
        rows = snapshot.children(list(level), len(level) if depth == max_depth else max_tasks + 1)
        following: dict[str, TreeNode] = {}
        for row in rows:
            parent = level[str(row.key[0])]
            if row.id in known:
                parent.children.append(msgspec.structs.replace(_node(row), mark="cycle"))
            elif depth == max_depth or len(known) == max_tasks:
                parent.mark = "cut"
            else:
                following[row.id] = known[row.id] = _node(row)
                parent.children.append(following[row.id])
        if depth == max_depth or len(known) == max_tasks:
            # The rows may be those of the first parents alone.
            for id in snapshot.parents_among(list(level)):
                if not level[id].children:
                    level[id].mark = "cut"
        if not following:
            return
        level = following
