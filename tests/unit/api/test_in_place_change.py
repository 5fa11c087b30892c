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
