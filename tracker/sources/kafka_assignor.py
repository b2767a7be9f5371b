"""Round robin over a group's members, by an assignor that can make the broker rebalance.

A static member that is started anew takes its old place without a rebalance. If it was the group's leader, nobody watches the topic from then
on: the broker does not tell it that it leads, so partitions that were added later, or while it was away, stay unread (seen with a broker
4.1.0 and aiokafka 0.14). A join of a member that does not lead changes nothing either, unless its metadata differs from before.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata


class Assignor(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's round robin, compatible with other members of that name."""

    def __init__(self) -> None:
        self._demands = 0

    def demand(self) -> None:
        """The next join of this member makes the group rebalance."""
        self._demands += 1

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What a join carries."""
        return ConsumerProtocolMemberMetadata(self.version, sorted(topics), str(self._demands).encode())
