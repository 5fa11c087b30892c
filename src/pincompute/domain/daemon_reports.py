"""Bounds what a member reports of a daemon, so that a member which reports nonsense harms its own nodes alone.

A member's API server may be in other hands. Counts lie within the nodes that a member can have, parts lie within their whole,
and texts have a length, because a count too large for the host's API server, or a long text, would stop the status of all
members.
"""

from __future__ import annotations

import msgspec

from pincompute.api.daemons import PinDaemonShard, PinDaemonShardStatus
from pincompute.domain.report_bounds import line, within

MOST_NODES = 100_000  # that a member can have
LONGEST_REVISION = 63


def plausible(shard: PinDaemonShard) -> PinDaemonShard:
    """Returns the shard with a status that can be true."""
    told = shard.status
    nodes = within(told.nodes, MOST_NODES)
    updated = within(told.updated, nodes)
    unavailable = within(told.updated_unavailable, updated)
    status = PinDaemonShardStatus(
        observed_generation=within(told.observed_generation, shard.metadata.generation),
        observed_max_unavailable=within(told.observed_max_unavailable, nodes),
        revision=told.revision[:LONGEST_REVISION],
        nodes=nodes,
        ready=within(told.ready, nodes),
        updated=updated,
        updated_ready=within(told.updated_ready, updated - unavailable),
        updated_unavailable=unavailable,
        failing=within(told.failing, unavailable),
        not_ready_nodes=within(told.not_ready_nodes, nodes),
        message=line(told.message),
    )
    return shard if status == told else msgspec.structs.replace(shard, status=status)
