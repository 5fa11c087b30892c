"""Which pods get which sidecars, how these are injected, and what an update in place changes of a pod."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pincompute.api import sidecars, template_hash
from pincompute.api.builtin import Container, ContainerState, ContainerStateRunning, ContainerStatus, Pod, PodSpec, PodStatus
from pincompute.api.labels import INJECTED, SIDECARS
from pincompute.api.meta import ObjectMeta
from pincompute.api.shards import Origin
from pincompute.api.sidecars import (
    PinSidecarShard,
    PinSidecarShardSpec,
    SharedVolume,
    SidecarContainer,
    SidecarSelector,
    SidecarVersion,
)
from pincompute.domain import pod_security_defaults, sidecar_injection
from pincompute.domain.sidecar_injection import Ending, Injected

ONE = sidecars.version(SidecarContainer(image="metrics:1", args=("9090",)))
TWO = sidecars.version(SidecarContainer(image="metrics:2", args=("9090",)))
OTHER = sidecars.version(SidecarContainer(image="metrics:2", args=("9091",)))
SPEC = {"containers": [{"name": "web", "image": "web:1"}], "initContainers": [{"name": "setup", "image": "web:1"}]}

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def shard(name: str = "metrics", *, birth: SidecarVersion = ONE, **more: Any) -> PinSidecarShard:
    spec = PinSidecarShardSpec(
        origin=Origin(uid=f"uid-{name}", generation=1),
        versions=(ONE, TWO, OTHER),
        birth=birth.revision,
        **({"target": birth.revision} | more),
    )
    return PinSidecarShard(metadata=ObjectMeta(name=name, uid=f"shard-{name}", generation=1), spec=spec)


def template(named: str = "") -> dict[str, Any]:
    return {"metadata": {"annotations": {SIDECARS: named}} if named else {}, "spec": SPEC}


def pod(injected: Injected, *, image: str = "metrics:1", running: str = "id-1") -> Pod:
    notes = sidecar_injection.annotation({"metrics": injected})
    state = ContainerState(running=ContainerStateRunning())
    status = ContainerStatus(name="platform-metrics", image=image, container_id=running, ready=True, state=state)
    return Pod(
        metadata=ObjectMeta(name="web-a1-0", namespace="shop", uid="p", resource_version="7", annotations=notes),
        spec=PodSpec(
            containers=(Container(name="web", image="web:1"),),
            init_containers=(Container(name="platform-metrics", image=image, restart_policy="Always"),),
        ),
        status=PodStatus(init_container_statuses=(status,) if running else ()),
    )


def record_of(patch: dict[str, Any]) -> Injected:
    text = patch["metadata"]["annotations"][INJECTED]
    return msgspec.json.decode(text, type=dict[str, Injected])["metrics"]


@pytest.mark.parametrize(
    ("named", "selector", "chosen", "missing"),
    [
        ("", None, [], ""),
        ("metrics", None, ["metrics"], ""),
        ("logs,metrics", None, ["metrics"], "sidecar logs is not there yet: wait, or ask an administrator whether it exists"),
        ("", SidecarSelector(), [], ""),
        ("", SidecarSelector(projects=("shop",)), ["metrics"], ""),
        ("", SidecarSelector(projects=("*",)), ["metrics"], ""),
        ("", SidecarSelector(projects=("other",)), [], ""),
        ("", SidecarSelector(match_labels={"team": "web"}), ["metrics"], ""),
        ("", SidecarSelector(match_labels={"team": "db"}), [], ""),
        ("", SidecarSelector(match_labels={"team": "web"}, projects=("other",)), [], ""),
        ("metrics", SidecarSelector(projects=("*",)), ["metrics"], ""),
    ],
)
def test_a_pod_gets_the_sidecars_that_it_names_and_those_that_select_it(
    named: str, selector: SidecarSelector | None, chosen: list[str], missing: str
) -> None:
    found = sidecar_injection.choose(template(named), "shop", {"team": "web"}, [shard(selector=selector)])
    assert (list(found.versions), found.missing) == (chosen, missing)


@pytest.mark.parametrize(
    ("allowed", "named", "chosen"),
    [(("*",), True, True), (("shop",), True, True), (("bank",), True, False), ((), True, False), (("bank",), False, False)],
)
def test_only_pods_of_projects_that_it_allows_have_a_sidecar(allowed: tuple[str, ...], named: bool, chosen: bool) -> None:
    of = shard(selector=None if named else SidecarSelector(projects=("*",)), allowed_projects=allowed)
    found = sidecar_injection.choose(template("metrics" if named else ""), "shop", {}, [of])
    assert list(found.versions) == (["metrics"] if chosen else [])
    assert found.missing.startswith("project shop may not have sidecar metrics: ") is (named and not chosen)


def test_a_sidecar_starts_before_everything_of_the_user_and_passes_pod_security() -> None:
    """M-92, M-93: a native sidecar, first of all; restricted needs nothing of it that is not filled in."""
    made = sidecar_injection.inject(SPEC, {"metrics": ONE})
    first, second = made["initContainers"]
    assert (first["name"], first["restartPolicy"], second["name"]) == ("platform-metrics", "Always", "setup")
    assert SPEC["initContainers"] == [{"name": "setup", "image": "web:1"}]
    filled = pod_security_defaults.filled_spec(made)["initContainers"][0]["securityContext"]
    assert filled == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert first["resources"]["limits"] == {"memory": "32Mi"}


def test_a_shared_folder_is_a_volume_that_containers_of_the_user_can_mount() -> None:
    """M-108, M-109."""
    version = sidecars.version(
        SidecarContainer(image="i", shared=(SharedVolume(name="socket", mount_path="/run/m", memory=True),))
    )
    made = sidecar_injection.inject(SPEC, {"metrics": version})
    assert made["volumes"] == [{"name": "platform-metrics-socket", "emptyDir": {"sizeLimit": "16Mi", "medium": "Memory"}}]
    assert made["initContainers"][0]["volumeMounts"] == [{"name": "platform-metrics-socket", "mountPath": "/run/m"}]


def test_another_image_alone_is_a_version_of_the_same_shape() -> None:
    assert ONE.revision != TWO.revision
    assert ONE.shape == TWO.shape != OTHER.shape


def test_an_update_in_place_changes_one_image_and_waits_for_the_former_container() -> None:
    """N16: nothing of the user's containers is in the patch."""
    before = pod(Injected(revision=ONE.revision, shape=ONE.shape, wanted=TWO.revision))
    patch = sidecar_injection.update(before, [shard()])
    assert patch["spec"] == {"initContainers": [{"name": "platform-metrics", "image": "metrics:2"}]}
    record = record_of(patch)
    assert record == Injected(revision=TWO.revision, shape=TWO.shape, ending=Ending(id="id-1", image="metrics:1"))
    assert sidecar_injection.is_pending(pod(record, image="metrics:2"), NOW)
    assert not sidecar_injection.is_pending(pod(record, image="metrics:2", running="id-2"), NOW)


def test_a_way_back_to_the_image_that_still_runs_waits_for_nothing() -> None:
    """S-155: the kubelet does nothing, so no container ends."""
    half = Injected(TWO.revision, TWO.shape, wanted=ONE.revision, ending=Ending(id="id-1", image="metrics:1"))
    assert record_of(sidecar_injection.update(pod(half, image="metrics:2"), [shard()])).ending is None


@pytest.mark.parametrize("wanted", [OTHER.revision, "s1unknown"])
def test_a_version_that_cannot_be_taken_in_place_is_not_taken(wanted: str) -> None:
    """S-160."""
    patch = sidecar_injection.update(pod(Injected(ONE.revision, ONE.shape, wanted=wanted)), [shard()])
    assert "spec" not in patch
    assert record_of(patch) == Injected(ONE.revision, ONE.shape)


def test_only_another_shape_needs_another_pod() -> None:
    assert sidecar_injection.must_be_replaced(pod(Injected(ONE.revision, ONE.shape, wanted=OTHER.revision)), [shard()])
    assert not sidecar_injection.must_be_replaced(pod(Injected(ONE.revision, ONE.shape, wanted=TWO.revision)), [shard()])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"metrics": 1}', "[" * 100_000])
def test_an_annotation_that_somebody_else_wrote_is_no_sidecar(text: str) -> None:
    foreign = Pod(metadata=ObjectMeta(name="p", annotations={INJECTED: text}))
    assert sidecar_injection.recorded(foreign) == {}


def test_naming_a_sidecar_needs_new_pods_and_another_version_does_not() -> None:
    """No revision of a workload depends on the version of a sidecar."""
    assert template_hash.shape(template()) != template_hash.shape(template("metrics"))
    assert template_hash.revision(template()) != template_hash.revision(template("metrics"))
    assert "metrics:1" not in json.dumps(template("metrics"))
