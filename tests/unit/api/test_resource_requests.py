"""What a pod asks of its node: S-104."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.api import resource_requests, template_hash
from pincompute.api.quantity import InvalidQuantityError


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), "initContainers": list(init), **spec}}


def asking(cpu: str, memory: str, *, always: bool = False, **more: Any) -> dict[str, Any]:
    restarts = {"restartPolicy": "Always"} if always else {}
    return {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory, **more}}, **restarts}


def asks(**amounts: int) -> dict[str, int]:
    return {**amounts, "pods": 1}


ASKED = {
    "nothing but a slot": (pod({"name": "c"}), asks()),
    "a zero asks for nothing": (pod(asking("0", "0")), asks()),
    "devices and storage count as well": (
        pod(asking("1", "0", **{"nvidia.com/gpu": 2, "ephemeral-storage": "1Gi"}), asking("1", "0", **{"nvidia.com/gpu": "1"})),
        {"cpu": 2000, "nvidia.com/gpu": 3, "ephemeral-storage": 1 << 30, "pods": 1},
    ),
    "a pod-level zero overrides": (pod(asking("1", "1Gi"), resources={"requests": {"cpu": "0"}}), asks(memory=1 << 30)),
    "sum of containers": (pod(asking("1", "1Gi"), asking("250m", "1Gi")), asks(cpu=1250, memory=2 << 30)),
    "a large init container runs alone": (pod(asking("1", "1Gi"), init=(asking("3", "1Mi"),)), asks(cpu=3000, memory=1 << 30)),
    "sidecars run beside": (pod(asking("1", "1Gi"), init=(asking("1", "1Gi", always=True),)), asks(cpu=2000, memory=2 << 30)),
    "init beside the sidecars before it": (
        pod(asking("1", "1Gi"), init=(asking("1", "1Gi", always=True), asking("2", "1Gi"))),
        asks(cpu=3000, memory=2 << 30),
    ),
    "not beside those after it": (
        pod(asking("1", "1Gi"), init=(asking("2", "1Gi"), asking("1", "1Gi", always=True))),
        asks(cpu=2000, memory=2 << 30),
    ),
    "limit stands for request": (pod({"name": "c", "resources": {"limits": {"cpu": "2"}}}), asks(cpu=2000)),
    "pod level": (pod(asking("1", "1Gi"), resources={"requests": {"cpu": "4"}}), asks(cpu=4000, memory=1 << 30)),
    "overhead": (pod(asking("1", "1Gi"), overhead={"cpu": "250m"}), asks(cpu=1250, memory=1 << 30)),
}


@pytest.mark.parametrize("case", ASKED)
def test_requests_follow_the_schedulers_formula(case: str) -> None:
    """S-104."""
    given, want = ASKED[case]
    assert resource_requests.requests(given) == want


@pytest.mark.parametrize("case", ASKED)
def test_defaults_may_be_counted_without_being_written(case: str) -> None:
    given, _ = ASKED[case]
    assert resource_requests.requests(given, resource_requests.DEFAULTS) == resource_requests.requests(
        template_hash.normalise(given)
    )


def test_a_quantity_of_any_resource_must_be_one():
    with pytest.raises(InvalidQuantityError, match="two"):
        resource_requests.requests(pod(asking("1", "1Gi", **{"nvidia.com/gpu": "two"})))


SENTENCES = {
    "cpu 1998.89": {"cpu": 1_998_890},
    "cpu 500m and memory 128Mi": {"memory": 128 << 20, "cpu": 500, "pods": 1},
    "nvidia.com/gpu 2": {"nvidia.com/gpu": 2, "pods": 1},
    "cpu 1, ephemeral-storage 1Gi and nvidia.com/gpu 1": {
        "nvidia.com/gpu": 1,
        "cpu": 1000,
        "ephemeral-storage": 1 << 30,
    },
    "no resources": {"pods": 1},
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_requests_are_told_in_words(sentence: str) -> None:
    assert resource_requests.sentence(SENTENCES[sentence]) == sentence
