"""Who wrote more than they may, of the messages that a kubelet gives to pods that it evicts."""

from __future__ import annotations

import pytest

from pincompute.domain import storage_eviction

SAID = {
    'Container web exceeded its local ephemeral storage limit "16Mi". ': (
        "container web wrote more than 16Mi, its limit of ephemeral storage"
    ),
    "Pod ephemeral local storage usage exceeds the total limit of containers 16Mi. ": (
        "container web wrote more than 16Mi, the limit of ephemeral storage, to files and emptyDir volumes"
    ),
    'Usage of EmptyDir volume "data" exceeds the limit "1Gi". ': "more than 1Gi, the limit of volume data, was written to it",
}


@pytest.mark.parametrize("message", SAID)
def test_the_container_is_named(message: str) -> None:
    assert storage_eviction.is_beyond_limit(message)
    assert storage_eviction.why(message, ["web"]) == SAID[message]


def test_of_several_that_wrote_together_all_are_named() -> None:
    message = "Pod ephemeral local storage usage exceeds the total limit of containers 2Gi. "
    assert storage_eviction.why(message, ["web", "log"]).startswith("containers web, log together wrote more than 2Gi")


def test_a_node_that_ran_short_is_something_else() -> None:
    message = "The node was low on resource: ephemeral-storage. Container web was using 20Mi, request is 1Mi. "
    assert not storage_eviction.is_beyond_limit(message)
    assert storage_eviction.why(message, ["web"]) == ""


@pytest.mark.parametrize("message", SAID)
def test_the_remedy_names_the_limit_that_was_reached(message: str) -> None:
    limit = "the sizeLimit of volume data" if "EmptyDir" in message else "resources.limits.storage"
    assert storage_eviction.remedy(message) == f"raise {limit}, write less, or write to a volume that is not on the node"
