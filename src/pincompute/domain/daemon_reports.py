"""Bounds what a member reports of a daemon, so that a member which reports nonsense harms its own nodes alone.

A member's API server may be in other hands. Counts lie within the nodes that a member can have, parts lie within their whole,
and texts have a length, because a count too large for the host's API server, or a long text, would stop the status of all
members.
"""

from __future__ import annotations

import msgspec

from pincompute.api.daemons import PinDaemonShard, PinDaemonShardStatus

MOST_NODES = 100_000  # that a member can have
LONGEST_MESSAGE = 300
LONGEST_REVISION = 63


def plausible(shard: PinDaemonShard) -> PinDaemonShard:
    """Returns the shard with a status that can be true."""
    told = shard.status
    nodes = _within(told.nodes, MOST_NODES)
    updated = _within(told.updated, nodes)
    unavailable = _within(told.updated_unavailable, updated)
    status = PinDaemonShardStatus(
        observed_generation=_within(told.observed_generation, shard.metadata.generation),
        observed_max_unavailable=_within(told.observed_max_unavailable, nodes),
        revision=told.revision[:LONGEST_REVISION],
        nodes=nodes,
        ready=_within(told.ready, nodes),
        updated=updated,
        updated_ready=_within(told.updated_ready, updated - unavailable),
        updated_unavailable=unavailable,
        failing=_within(told.failing, unavailable),
        not_ready_nodes=_within(told.not_ready_nodes, nodes),
        message="".join(c if c.isprintable() else " " for c in told.message[:LONGEST_MESSAGE]),
    )
    return shard if status == told else msgspec.structs.replace(shard, status=status)


def _within(count: int, most: int) -> int:
    return max(0, min(count, most))
