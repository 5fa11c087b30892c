"""Templates: defaults (SPEC #60), revisions (S-131), shapes of in-place updates, requests (S-104)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pincompute.api import templates

SIDECAR = {"name": "metrics", "image": "metrics:1", "restartPolicy": "Always"}


def template(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"containers": list(containers or ({"name": "web", "image": "hello:1"},)), **spec}
    return {"spec": {"initContainers": list(init), **body} if init else body}


def asking(cpu: str, memory: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "image": "i:1", "resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


DEFAULTED = {
    "nothing": ({}, {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}}),
    "requests only": (
        {"requests": {"cpu": "0.5", "memory": "1024Mi"}},
        {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
    ),
    "limits stand for requests": (
        {"limits": {"cpu": 2, "memory": "1Gi"}},
        {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
    ),
    "null and empty parts": (
        {"requests": None, "limits": {}},
        {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
    ),
    "other resources and claims stay": (
        {"limits": {"nvidia.com/gpu": "1"}, "claims": [{"name": "gpu"}]},
        {
            "requests": {"cpu": "100m", "memory": "128Mi", "nvidia.com/gpu": "1"},
            "limits": {"memory": "128Mi", "nvidia.com/gpu": "1"},
            "claims": [{"name": "gpu"}],
        },
    ),
}


@pytest.mark.parametrize("case", DEFAULTED)
def test_every_container_gets_requests_and_a_memory_limit(case: str) -> None:
    given, want = DEFAULTED[case]
    got = templates.normalise(
        template({"name": "web", "image": "i", "resources": given}, init=(SIDECAR | {"resources": given},))
    )
    assert [c["resources"] for _, c in templates.containers(got)] == [want, want]


def test_normalise_leaves_its_argument_and_everything_else_alone() -> None:
    given = template(
        {"name": "web", "image": "i", "resources": {"requests": {}}}, terminationGracePeriodSeconds=7, unheard="of"
    )
    before = copy.deepcopy(given)
    got = templates.normalise(given)
    assert given == before
    assert (got["spec"]["terminationGracePeriodSeconds"], got["spec"]["unheard"]) == (7, "of")
    assert templates.normalise(got) == got


def test_resources_declared_for_the_pod_are_not_added_to_its_containers() -> None:
    got = templates.normalise(template(resources={"limits": {"memory": "1Gi"}}))
    assert got["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}}
    assert got["spec"]["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}


PROBE = {"httpGet": {"path": "/", "port": 80}}
SAME_REVISION = {
    "order of keys": (
        template({"name": "web", "image": "hello:1"}),
        {"spec": {"containers": [{"image": "hello:1", "name": "web"}]}},
    ),
    "defaults of the platform said": (
        template(),
        template({"name": "web", "image": "hello:1", "resources": {"requests": {"cpu": "0.1", "memory": "131072Ki"}}}),
    ),
    "defaults of Kubernetes said": (
        template({"name": "web", "image": "hello:1", "readinessProbe": PROBE, "ports": [{"containerPort": 80}]}),
        template(
            {
                "name": "web",
                "image": "hello:1",
                "imagePullPolicy": "IfNotPresent",
                "readinessProbe": PROBE | {"periodSeconds": 10},
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
            },
            restartPolicy="Always",
        ),
    ),
    "nulls": (template(), {"metadata": {"creationTimestamp": None}} | template(nodeName=None)),
}


@pytest.mark.parametrize("case", SAME_REVISION)
def test_an_identical_template_has_an_identical_revision(case: str) -> None:
    """S-131."""
    one, other = SAME_REVISION[case]
    other.setdefault("metadata", {})
    one.setdefault("metadata", {})
    assert templates.revision(one) == templates.revision(other)


OTHER = {
    "image": (template({"name": "web", "image": "hello:2"}), False),
    "sidecar image": (template(init=(SIDECAR | {"image": "metrics:2"},)), False),
    "label": ({"metadata": {"labels": {"a": "b"}}} | template(), False),
    "environment": (template({"name": "web", "image": "hello:1", "env": [{"name": "A", "value": "b"}]}), True),
    "argument order": (template({"name": "web", "image": "hello:1", "args": ["b", "a"]}), True),
    "memory": (template({"name": "web", "image": "hello:1", "resources": {"requests": {"memory": "129Mi"}}}), True),
    "grace": (template(terminationGracePeriodSeconds=1), True),
    "volume": (template(volumes=[{"name": "v", "emptyDir": {}}]), True),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_change_is_a_new_revision_and_a_new_shape_only_when_the_pod_must_be_replaced(case: str) -> None:
    changed, replaced = OTHER[case]
    base = template(init=(SIDECAR,)) if case == "sidecar image" else template()
    assert templates.revision(changed) != templates.revision(base)
    assert (templates.shape(changed) != templates.shape(base)) is replaced


def test_the_image_of_a_plain_init_container_is_part_of_the_shape() -> None:
    one, other = (template(init=({"name": "setup", "image": f"setup:{n}"},)) for n in (1, 2))
    assert templates.shape(one) != templates.shape(other)
    assert templates.images(one) == {"web": "hello:1"}


def test_images_are_those_an_in_place_update_can_change() -> None:
    assert templates.images(template(init=(SIDECAR,))) == {"metrics": "metrics:1", "web": "hello:1"}
