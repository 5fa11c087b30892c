"""Events in users' words: replicas, images and containers, and no nodes, clusters or words of Kubernetes."""

from __future__ import annotations

import pytest
from history_samples import event

from pincompute.gateway.history import event_sentences, timeline

EVENTS = {
    "a node": ("Scheduled", "Successfully assigned web/3 to c1-node-0", "it has a node"),
    "no node": (
        "FailedScheduling",
        "0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 No preemption victims found",
        "no node takes it: 0/2 nodes are available: 2 Insufficient memory",
    ),
    "an image is pulled": ("Pulling", 'Pulling image "a/b:1"', "its node pulls image a/b:1"),
    "an image has come": (
        "Pulled",
        'Successfully pulled image "a/b:1" in 1.2s (3s including waiting). Image size: 3 bytes.',
        "its node has pulled image a/b:1 in 1.2s",
    ),
    "an image was there": (
        "Pulled",
        'Container image "a/b:1" already present on machine and can be accessed by the pod',
        "its node has image a/b:1 already",
    ),
    "made": ("Created", "Created container: web", "container web is made"),
    "made, in few words": ("Created", "Container created", "a container is made"),
    "started": ("Started", "Started container web", "container web has started"),
    "asked to end": ("Killing", "Stopping container web", "container web is asked to end"),
    "a check": (
        "Killing",
        "Container web failed liveness probe, will be restarted",
        "container web restarts, because its liveness check failed",
    ),
    "an update in place": (
        "Killing",
        "Container web definition changed, will be restarted",
        "container web restarts with what was changed",
    ),
    "a sidecar's update": (
        "Killing",
        "Init container metrics definition changed",
        "container metrics restarts with what was changed",
    ),
    "crashes": (
        "BackOff",
        "Back-off restarting failed container web in pod web/3_shop(2f6)",
        "container web ended again, and it waits longer before the next start",
    ),
    "an image that does not come": (
        "Failed",
        'Failed to pull image "a/b:1": failed to resolve image: a/b:1: not found',
        "image a/b:1 cannot be pulled: a/b:1: not found",
    ),
    "a check fails": (
        "Unhealthy",
        'Readiness probe failed: Get "http://10.0.0.1:80/": dial tcp 10.0.0.1:80: connect: connection refused',
        (
            "its health check fails: connection refused on port 80, where nothing listens "
            "(a server must listen on 0.0.0.0, not only on 127.0.0.1)"
        ),
    ),
    "a node that died": ("NodeNotReady", "Node is not ready", "its node does not answer"),
    "what nobody knows": ("Odd", "Something  else.", "Odd: Something else"),
}


@pytest.mark.parametrize("case", EVENTS)
def test_an_event_is_told_in_users_words(case: str) -> None:
    reason, message, said = EVENTS[case]
    assert event_sentences.sentence(event(reason=reason, message=message)) == said


def test_what_is_reported_of_a_shard_names_the_app() -> None:
    (line,) = timeline.entries([event(about="PinAppShard", object="hello", reason="Odd", message="something")])
    assert line.sentence == "hello: Odd: something"
