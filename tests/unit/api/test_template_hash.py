"""Templates: defaults (SPEC #60), revisions (S-131), shapes of in-place updates, requests (S-104)."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pincompute.api import template_defaults, template_hash, template_normalization, template_schema

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
    got = template_hash.normalise(
        template({"name": "web", "image": "i", "resources": given}, init=(SIDECAR | {"resources": given},))
    )
    assert [c["resources"] for _, c in template_hash.containers(got)] == [want, want]


def test_normalise_leaves_its_argument_and_everything_else_alone() -> None:
    given = template(
        {"name": "web", "image": "i", "resources": {"requests": {}}}, terminationGracePeriodSeconds=7, unheard="of"
    )
    before = copy.deepcopy(given)
    got = template_hash.normalise(given)
    assert given == before
    assert (got["spec"]["terminationGracePeriodSeconds"], got["spec"]["unheard"]) == (7, "of")
    assert template_hash.normalise(got) == got


def test_resources_declared_for_the_pod_are_not_added_to_its_containers() -> None:
    got = template_hash.normalise(template(resources={"limits": {"memory": "1Gi"}}))
    assert got["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}}
    assert got["spec"]["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}


def variable(source: dict[str, Any]) -> dict[str, Any]:
    return {"name": "A", "valueFrom": source}


def claim(**more: Any) -> dict[str, Any]:
    return {
        "name": "v",
        "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1Gi"}}, **more}}},
    }


WEB = {"name": "web", "image": "hello:1"}
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
    "empty lists and maps of the pod": (
        template(),
        template(nodeSelector={}, tolerations=[], volumes=[], affinity={"nodeAffinity": {}}, imagePullSecrets=[], overhead={}),
    ),
    "empty lists and maps of a container": (
        template(),
        template(
            WEB | {"env": [], "command": [], "volumeMounts": [], "securityContext": {"capabilities": {}}, "lifecycle": {}}
        ),
    ),
    "zeros": (
        template(WEB | {"ports": [{"containerPort": 80}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
        template(
            WEB
            | {
                "ports": [{"containerPort": 80, "hostPort": 0, "hostIP": "", "name": ""}],
                "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": False, "subPath": ""}],
                "tty": False,
                "workingDir": "",
            },
            hostNetwork=False,
            hostname="",
        ),
    ),
    "probe": (
        template(WEB | {"livenessProbe": {"httpGet": {"port": 80}}, "startupProbe": {"grpc": {"port": 80}}}),
        template(
            WEB
            | {
                "livenessProbe": {
                    "httpGet": {"port": 80, "path": "/", "scheme": "HTTP", "host": "", "httpHeaders": []},
                    "initialDelaySeconds": 0,
                    "timeoutSeconds": 1,
                    "periodSeconds": 0,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                },
                "startupProbe": {"grpc": {"port": 80, "service": ""}},
            }
        ),
    ),
    "memory in bytes": (template(asking("1", "32Mi")), template(asking("1000m", "33554432"))),
    "exponents": (template(asking("1", "1e3")), template(asking("1e0", "1k"))),
    "amounts that are numbers": (
        template({"name": "c", "image": "i:1", "resources": {"requests": {"cpu": 0.1, "memory": 1000}}}),
        template(asking("100m", "1k")),
    ),
    "amounts below a thousandth": (template(asking("0.0001", "1")), template(asking("1m", "1"))),
    "size of an empty folder": (
        template(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]),
        template(volumes=[{"name": "v", "emptyDir": {"sizeLimit": 1 << 30, "medium": ""}}]),
    ),
    "a volume of nothing is an empty folder": (
        template(volumes=[{"name": "v"}]),
        template(volumes=[{"name": "v", "emptyDir": {}, "configMap": None}]),
    ),
    "volumes": (
        template(volumes=[{"name": "c", "configMap": {"name": "c"}}, {"name": "h", "hostPath": {"path": "/h"}}]),
        template(
            volumes=[
                {"name": "c", "configMap": {"name": "c", "defaultMode": 420, "items": []}},
                {"name": "h", "hostPath": {"path": "/h", "type": ""}},
            ]
        ),
    ),
    "sources of variables": (
        template(WEB | {"env": [variable({"fieldRef": {"fieldPath": "metadata.name"}}), {"name": "E"}]}),
        template(
            WEB
            | {"env": [variable({"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}), {"name": "E", "value": ""}]}
        ),
    ),
    "former name of the service account": (template(serviceAccountName="a"), template(serviceAccount="a")),
    "the new name of the service account wins": (
        template(serviceAccountName="a"),
        template(serviceAccountName="a", serviceAccount="b"),
    ),
    "null as an entry is the zero of its type": (
        {"metadata": {"labels": {"a": ""}}} | template(WEB | {"args": [""]}),
        {"metadata": {"labels": {"a": None}}} | template(WEB | {"args": [None]}),
    ),
    "never created": (template(), {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}} | template()),
    "pulled by the image's tag": (
        template({"name": "web", "image": "hello"}),
        template({"name": "web", "image": "hello", "imagePullPolicy": "Always"}),
    ),
}


@pytest.mark.parametrize("case", SAME_REVISION)
def test_an_identical_template_has_an_identical_revision(case: str) -> None:
    """S-131."""
    one, other = SAME_REVISION[case]
    other.setdefault("metadata", {})
    one.setdefault("metadata", {})
    assert template_hash.revision(one) == template_hash.revision(other)
    assert template_hash.shape(one) == template_hash.shape(other)
    assert template_hash.same(one, other)


DIFFERENT = {
    "false where nothing is another answer": (template(), template(automountServiceAccountToken=False)),
    "not by default": (template(), template(enableServiceLinks=False)),
    "zero where nothing means thirty": (template(), template(terminationGracePeriodSeconds=0)),
    "user zero": (template(), template(WEB | {"securityContext": {"runAsUser": 0}})),
    "a selector of everything": (
        template(topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]),
        template(
            topologySpreadConstraints=[
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
            ]
        ),
    ),
    "no storage class": (template(volumes=[claim()]), template(volumes=[claim(storageClassName="")])),
    "a limit of nothing": (
        template(volumes=[{"name": "v", "emptyDir": {}}]),
        template(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "0"}}]),
    ),
    "modes without any right": (
        template(volumes=[{"name": "v", "secret": {"secretName": "s"}}]),
        template(volumes=[{"name": "v", "secret": {"secretName": "s", "defaultMode": 0}}]),
    ),
    "pulled against the image's tag": (template(), template(WEB | {"imagePullPolicy": "Always"})),
    "an empty argument": (template(), template(WEB | {"args": [""]})),
    "order of arguments": (template(WEB | {"args": ["a", "b"]}), template(WEB | {"args": ["b", "a"]})),
    "an amount more": (template(asking("1", "1Gi")), template(asking("1", "1073741825"))),
    "a field this version does not know": (template(), template(unheard={})),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_makes_other_pods_is_another_revision(case: str) -> None:
    one, other = DIFFERENT[case]
    assert template_hash.revision(one) != template_hash.revision(other)
    assert not template_hash.same(one, other)


@pytest.mark.parametrize("case", [*SAME_REVISION, *DIFFERENT])
def test_the_normal_form_is_its_own(case: str) -> None:
    for given in (SAME_REVISION | DIFFERENT)[case]:
        assert template_hash.normalise(template_hash.normalise(given)) == template_hash.normalise(given)


def test_names_fit_a_label_and_tell_their_version() -> None:
    for name in (template_hash.revision(template()), template_hash.shape(template())):
        assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name)
        assert len(name) <= 18
        assert template_hash.is_named_by_this_version(name)
    assert not template_hash.is_named_by_this_version("1234567890")  # as the first version named them


def test_a_template_that_the_first_version_stored_in_a_shard_makes_the_pods_of_the_present_one() -> None:
    """So the upgrade gives no new name to what runs, and restarts nothing."""
    written = template(
        WEB | {"resources": {"limits": {"cpu": "0.5"}}, "readinessProbe": PROBE, "ports": [{"containerPort": 80}]},
        terminationGracePeriodSeconds=30,
        nodeSelector={},
    )
    stored = copy.deepcopy(written)
    stored["spec"]["containers"][0]["resources"] = {
        "requests": {"cpu": "500m", "memory": "128Mi"},
        "limits": {"cpu": "500m", "memory": "128Mi"},
    }
    assert template_hash.same(stored, written)


PULLED = {
    "hello": "Always",
    "hello:latest": "Always",
    "registry.internal:5000/hello": "Always",
    "registry.internal:5000/hello:1": "IfNotPresent",
    "hello:1": "IfNotPresent",
    f"hello@sha256:{'a' * 64}": "IfNotPresent",
    f"hello:latest@sha256:{'a' * 64}": "Always",
    "Upper:latest": "IfNotPresent",  # no reference to an image, so without a tag
    "a" * 64: "IfNotPresent",
}


@pytest.mark.parametrize("image", PULLED)
def test_the_pull_policy_follows_from_the_image(image: str) -> None:
    assert template_defaults.pull_policy(image) == PULLED[image]


def test_a_pull_policy_that_an_image_brings_is_part_of_the_shape() -> None:
    """The API server filled it in when the pod was made, and no update in place can change it."""
    pinned, floating = template(WEB), template(WEB | {"image": "hello:latest"})
    assert template_hash.shape(pinned) != template_hash.shape(floating)
    said = {"imagePullPolicy": "IfNotPresent"}
    assert template_hash.shape(pinned) == template_hash.shape(template(WEB | {"image": "hello:latest"} | said))


def test_every_line_of_the_tables_names_a_field_of_the_schema() -> None:
    paths = {
        suffix for path in _paths(template_schema.schema(), "template") for suffix in template_normalization.suffixes(path)
    }
    lines = {
        *template_defaults.DEFAULTS,
        *template_defaults.ZERO_COUNTS,
        *template_defaults.EMPTY_IS_NOTHING,
        *template_defaults.FINISHES,
    }
    assert lines - paths == set()


def _paths(schema: dict[str, Any], path: str) -> Iterator[str]:
    yield path
    for name, part in schema.get("properties", {}).items():
        yield from _paths(part, f"{path}.{name}")
    if "items" in schema:
        yield from _paths(schema["items"], f"{path}[]")


OTHER = {
    "image": (template({"name": "web", "image": "hello:2"}), False),
    "sidecar image": (template(init=(SIDECAR | {"image": "metrics:2"},)), False),
    "label": ({"metadata": {"labels": {"a": "b"}}} | template(), False),
    "environment": (template({"name": "web", "image": "hello:1", "env": [{"name": "A", "value": "b"}]}), True),
    "argument order": (template({"name": "web", "image": "hello:1", "args": ["b", "a"]}), True),
    "memory": (template({"name": "web", "image": "hello:1", "resources": {"requests": {"memory": "129Mi"}}}), False),
    "CPU limit": (template({"name": "web", "image": "hello:1", "resources": {"limits": {"cpu": "1"}}}), True),
    "grace": (template(terminationGracePeriodSeconds=1), True),
    "volume": (template(volumes=[{"name": "v", "emptyDir": {}}]), True),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_change_is_a_new_revision_and_a_new_shape_only_when_the_pod_must_be_replaced(case: str) -> None:
    changed, replaced = OTHER[case]
    base = template(init=(SIDECAR,)) if case == "sidecar image" else template()
    assert template_hash.revision(changed) != template_hash.revision(base)
    assert (template_hash.shape(changed) != template_hash.shape(base)) is replaced


def test_the_image_of_a_plain_init_container_is_part_of_the_shape() -> None:
    one, other = (template(init=({"name": "setup", "image": f"setup:{n}"},)) for n in (1, 2))
    assert template_hash.shape(one) != template_hash.shape(other)
    assert template_hash.images(one) == {"web": "hello:1"}


def test_images_are_those_an_in_place_update_can_change() -> None:
    assert template_hash.images(template(init=(SIDECAR,))) == {"metrics": "metrics:1", "web": "hello:1"}
