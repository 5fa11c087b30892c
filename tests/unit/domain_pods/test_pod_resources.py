"""A pod is made with requests and limits that its member accepts, whatever version stored its template."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.domain import pod_resources

Resources = dict[str, Any]

CASES: dict[str, tuple[Resources, Resources]] = {
    "what is enough stays": (
        {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}},
        {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}},
    ),
    "a request of 0 is raised": (
        {"requests": {"cpu": "0", "memory": 0, "ephemeral-storage": "0Gi"}, "limits": {"memory": "1Gi"}},
        {"requests": {"cpu": "1m", "memory": "1Mi", "ephemeral-storage": "1Mi"}, "limits": {"memory": "1Gi"}},
    ),
    "one byte is raised": (
        {"requests": {"cpu": "1", "memory": "1"}, "limits": {"memory": "1000"}},
        {"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"memory": "1Mi"}},
    ),
    "no limit is written as 0, and stays none": (
        {"requests": {"cpu": "1", "memory": "0"}, "limits": {"cpu": "0", "memory": "0", "ephemeral-storage": "0"}},
        {"requests": {"cpu": "1", "memory": "1Mi", "ephemeral-storage": "1Mi"}, "limits": {"memory": "1Ti"}},
    ),
    "a limit of 0 was the request too": (
        {"requests": {"cpu": "1"}, "limits": {"memory": "0"}},
        {"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"memory": "1Ti"}},
    ),
    "other resources may be 0": (
        {"limits": {"nvidia.com/gpu": "0", "memory": "1Gi"}},
        {"limits": {"nvidia.com/gpu": "0", "memory": "1Gi"}},
    ),
    "as much storage may be written as is requested": (
        {"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "5Gi"}},
        {"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "5Gi"}, "limits": {"ephemeral-storage": "5Gi"}},
    ),
    "a limit of storage stays": (
        {"requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": "5Gi"}},
        {"requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": "5Gi"}},
    ),
    "what is no quantity is left to the API server": (
        {"requests": {"cpu": "many", "memory": "-1"}},
        {"requests": {"cpu": "many", "memory": "-1"}},
    ),
}


@pytest.mark.parametrize("where", ["containers", "initContainers"])
@pytest.mark.parametrize("case", CASES)
def test_a_container_asks_for_no_less_than_the_least_amounts(case: str, where: str) -> None:
    given, wanted = CASES[case]
    spec = {"containers": [{"name": "web"}], where: [{"name": "web", "resources": given}]}
    assert pod_resources.completed(spec)[where] == [{"name": "web", "resources": wanted}]


def test_of_what_the_pod_requests_as_a_whole_a_container_may_request_nothing() -> None:
    """The API server refuses containers that together request more than their pod."""
    container = {"name": "web", "resources": {"requests": {"cpu": "0"}, "limits": {"cpu": "0"}}}
    spec = {"resources": {"requests": {"cpu": "1", "memory": "1"}}, "containers": [container, {"name": "log"}]}
    assert pod_resources.completed(spec) == {
        "resources": {"requests": {"cpu": "1", "memory": "1Mi"}},
        "containers": [
            {"name": "web", "resources": {"requests": {"cpu": "0", "memory": "0"}, "limits": {}}},
            {"name": "log", "resources": {"requests": {"cpu": "0", "memory": "0"}}},
        ],
    }


def test_the_given_spec_stays_as_it_is() -> None:
    container = {"name": "web", "resources": {"requests": {"cpu": "0"}}}
    pod_resources.completed({"containers": [container]})
    assert container == {"name": "web", "resources": {"requests": {"cpu": "0"}}}
