"""Which fields of a template no running pod can take, by their place in the resource (S-151)."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.api import in_place_change, template_hash

SETUP = {"name": "setup", "image": "setup:1"}
SIDECAR = {"name": "metrics", "image": "metrics:1", "restartPolicy": "Always"}
WEB = {"name": "web", "image": "hello:1"}


def template(*containers: dict[str, Any], metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": metadata or {},
        "spec": {"initContainers": [SETUP, SIDECAR], "containers": list(containers or (WEB,)), **spec},
    }


POD, METADATA = "spec.template.spec", "spec.template.metadata"
CHANGES = {
    "an image": (template(WEB | {"image": "hello:2"}), ()),
    "the image of a sidecar": (template(initContainers=[SETUP, SIDECAR | {"image": "metrics:2"}]), ()),
    "a label and an annotation": (template(metadata={"labels": {"a": "b"}, "annotations": {"a": "b"}}), ()),
    "another notation": (template(WEB | {"resources": {"requests": {"cpu": "0.1"}}}), ()),
    "more CPU and memory": (
        template(WEB | {"resources": {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}}),
        (),
    ),
    "more memory of a sidecar": (
        template(initContainers=[SETUP, SIDECAR | {"resources": {"requests": {"memory": "1Gi"}}}]),
        (),
    ),
    "more memory of an init container": (
        template(initContainers=[SETUP | {"resources": {"requests": {"memory": "1Gi"}}}, SIDECAR]),
        (f"{POD}.initContainers[0].resources",),
    ),
    "a limit of CPU that comes": (
        template(WEB | {"resources": {"limits": {"cpu": "1"}}}),
        (f"{POD}.containers[0].resources",),
    ),
    "storage": (
        template(WEB | {"resources": {"requests": {"ephemeral-storage": "1Gi"}}}),
        (f"{POD}.containers[0].resources",),
    ),
    "resources of the pod as a whole": (
        template(resources={"requests": {"cpu": "1", "memory": "1Gi"}}),
        (
            f"{POD}.containers[0].resources",
            f"{POD}.initContainers[0].resources",
            f"{POD}.initContainers[1].resources",
            f"{POD}.resources",
        ),
    ),
    "the image of an init container": (
        template(initContainers=[SETUP | {"image": "setup:2"}, SIDECAR]),
        (f"{POD}.initContainers[0].image",),
    ),
    "environment and arguments of the second container": (
        template(WEB, {"name": "log", "image": "log:1", "env": [{"name": "A", "value": "1"}], "args": ["a"]}),
        (f"{POD}.containers",),
    ),
    "an argument": (template(WEB | {"args": ["a"]}), (f"{POD}.containers[0].args",)),
    "a container more": (template(WEB, WEB | {"name": "other"}), (f"{POD}.containers",)),
    "a volume and a pull secret": (
        template(volumes=[{"name": "v"}], imagePullSecrets=[{"name": "s"}]),
        (f"{POD}.imagePullSecrets", f"{POD}.volumes"),
    ),
    "a restart by kubectl": (
        template(metadata={"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}),
        (f"{METADATA}.annotations[kubectl.kubernetes.io/restartedAt]",),
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_the_fields_that_force_new_pods_are_named(case: str) -> None:
    changed, fields = CHANGES[case]
    assert in_place_change.replacing_fields(template(), changed) == fields
    assert (template_hash.shape(changed) == template_hash.shape(template())) is not bool(fields)


def alone(requests: dict[str, str], limits: dict[str, str], **container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [WEB | {"resources": {"requests": requests, "limits": limits}} | container]}}


EQUAL = {"cpu": "1", "memory": "1Gi"}
PASSED = [{"name": "MOST", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}}]
RESIZES = {
    "guaranteed stays": (alone(EQUAL, EQUAL), alone(*[{"cpu": "2", "memory": "2Gi"}] * 2), True),
    "guaranteed no longer": (alone(EQUAL, EQUAL), alone(EQUAL, {"cpu": "2", "memory": "1Gi"}), False),
    "guaranteed from now on": (alone({"cpu": "500m", "memory": "1Gi"}, EQUAL), alone(EQUAL, EQUAL), False),
    "a limit that a program reads": (
        alone(EQUAL, {"memory": "2Gi"}, env=PASSED),
        alone(EQUAL, {"memory": "3Gi"}, env=PASSED),
        False,
    ),
    "a request beside a limit that a program reads": (
        alone(EQUAL, {"memory": "2Gi"}, env=PASSED),
        alone({"cpu": "2", "memory": "1Gi"}, {"memory": "2Gi"}, env=PASSED),
        True,
    ),
    "another policy": (
        alone(EQUAL, {"memory": "2Gi"}),
        alone(EQUAL, {"memory": "2Gi"}, resizePolicy=[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]),
        False,
    ),
}


@pytest.mark.parametrize("case", RESIZES)
def test_which_resources_change_in_a_running_pod(case: str) -> None:
    before, after, in_place = RESIZES[case]
    for one, other in ((before, after), (after, before)):
        assert (in_place_change.replacing_fields(one, other) == ()) is in_place
        assert (template_hash.shape(one) == template_hash.shape(other)) is in_place


def test_only_the_container_whose_resources_change_the_quality_of_service_is_named() -> None:
    log = {"name": "log", "image": "log:1", "resources": {"requests": EQUAL, "limits": EQUAL}}
    before, after = (
        {"spec": {"containers": [log, *alone(EQUAL, each)["spec"]["containers"]]}} for each in (EQUAL, {**EQUAL, "cpu": "2"})
    )
    assert in_place_change.replacing_fields(before, after) == (f"{POD}.containers[1].resources",)
