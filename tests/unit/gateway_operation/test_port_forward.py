"""What a user reads when a port of a replica cannot be reached."""

from __future__ import annotations

import pytest

from pincompute.gateway.call_context import ReplicaStream
from pincompute.gateway.operation.replica_streams import port_forward

SANDBOX = 'error forwarding port 9999 to pod 8a1f, uid : failed to execute portforward in network namespace "/run/netns/x": '


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (
            f"{SANDBOX}failed to connect to localhost:9999, IPv4: dial tcp4 127.0.0.1:9999: connect: connection refused",
            "nothing listens on port 9999 of the replica",
        ),
        (f"{SANDBOX}connect: no route to host", "no route to host"),
        ("gone", "gone"),
    ],
)
def test_the_cause_is_named_without_the_node(trouble: str, said: str) -> None:
    assert port_forward.unreached(trouble, ReplicaStream(port=9999)) == said
