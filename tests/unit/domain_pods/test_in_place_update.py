"""Updates in place: S-150, S-153, S-154, S-155."""

from __future__ import annotations

import msgspec
import pytest

from pincompute.api.builtin import Container, ContainerStatus, Pod, PodSpec, PodStatus
from pincompute.api.labels import CONTAINERS_RESTARTED_AT, IN_PLACE, REVISION, TEMPLATE_KEYS
from pincompute.api.meta import ObjectMeta
from pincompute.domain import in_place_update
from pincompute.domain.shard_pods import PodMetadata

MARKS = PodMetadata({REVISION: "new"}, {})


def template(web: str = "hello:1", proxy: str = "proxy:1"):
    return {
        "spec": {
            "initContainers": [
                {"name": "setup", "image": "setup:9"},
                {"name": "proxy", "image": proxy, "restartPolicy": "Always"},
            ],
            "containers": [{"name": "web", "image": web}],
        }
    }


def pod(web: str = "hello:1", ids: dict[str, str] | None = None, **annotations: str) -> Pod:
    given = {"web": "c1", "proxy": "c2"} if ids is None else ids
    status = {name: ContainerStatus(name=name, container_id=given[name]) for name in given}
    return Pod(
        metadata=ObjectMeta(name="p", labels={REVISION: "old"}, annotations=annotations),
        spec=PodSpec(
            containers=(Container(name="web", image=web),),
            init_containers=(
                Container(name="setup", image="setup:1"),
                Container(name="proxy", image="proxy:1", restart_policy="Always"),
            ),
        ),
        status=PodStatus(
            container_statuses=(status["web"],) if "web" in status else (),
            init_container_statuses=(status["proxy"],) if "proxy" in status else (),
        ),
    )


def patched(before: Pod, wanted, web: str, ids: dict[str, str] | None = None) -> Pod:
    """The pod after the patch, with the containers that run then."""
    record = in_place_update.patch(before, wanted, MARKS)["metadata"].get("annotations", {}).get(IN_PLACE)
    return pod(web, ids, **({IN_PLACE: record} if record else {}))


def test_only_the_changed_container_is_in_the_patch():
    """S-150: sidecars and what has ended long ago are left alone."""
    patch = in_place_update.patch(pod(), template(web="hello:2"), MARKS)
    assert patch["spec"] == {"containers": [{"name": "web", "image": "hello:2"}]}
    assert patch["metadata"]["labels"] == {REVISION: "new"}
    assert msgspec.json.decode(patch["metadata"]["annotations"][IN_PLACE]) == {"web": {"id": "c1", "image": "hello:1"}}


def test_a_native_sidecar_is_updated_beside_the_container():
    patch = in_place_update.patch(pod(), template(proxy="proxy:2"), MARKS)
    assert patch["spec"] == {"initContainers": [{"name": "proxy", "image": "proxy:2"}]}


def test_an_update_is_pending_until_the_container_that_had_to_go_is_gone():
    """S-153: judged by the container's id, so one digest under two tags does not hang."""
    assert in_place_update.is_pending(patched(pod(), template(web="hello:2"), "hello:2"))
    assert not in_place_update.is_pending(patched(pod(), template(web="hello:2"), "hello:2", {"web": "c9", "proxy": "c2"}))


def test_where_nothing_reports_ids_readiness_alone_has_to_tell():
    simulated = pod(ids={"web": "", "proxy": ""})
    assert not in_place_update.is_pending(patched(simulated, template(web="hello:2"), "hello:2", {"web": "", "proxy": ""}))


def test_a_rollback_before_the_restart_waits_for_nothing():
    """S-154, S-155: the container runs what it should run again."""
    halfway = patched(pod(), template(web="hello:2"), "hello:2")
    back = patched(halfway, template(web="hello:1"), "hello:1")
    assert not in_place_update.is_pending(back)
    assert IN_PLACE not in back.metadata.annotations


def test_a_rollback_after_the_restart_waits_for_the_new_container_to_go():
    restarted = patched(pod(), template(web="hello:2"), "hello:2", {"web": "c9", "proxy": "c2"})
    back = patched(restarted, template(web="hello:1"), "hello:1", {"web": "c9", "proxy": "c2"})
    assert in_place_update.is_pending(back)


def test_a_third_image_in_the_middle_still_waits_for_the_first_container():
    halfway = patched(pod(), template(web="hello:2"), "hello:2")
    onwards = patched(halfway, template(web="hello:3"), "hello:3")
    assert in_place_update.is_pending(onwards)
    assert not in_place_update.is_pending(patched(halfway, template(web="hello:3"), "hello:3", {"web": "c9", "proxy": "c2"}))


def test_labels_alone_restart_nothing():
    patch = in_place_update.patch(pod(), template(), MARKS)
    assert patch == {"metadata": {"labels": {REVISION: "new"}}}


def test_labels_the_old_template_brought_go_and_those_of_others_stay():
    before = msgspec.structs.replace(
        pod(),
        metadata=ObjectMeta(
            name="p",
            labels={REVISION: "old", "team": "a", "by-hand": "1"},
            annotations={TEMPLATE_KEYS: '{"labels":["team"],"annotations":[]}'},
        ),
    )
    patch = in_place_update.patch(before, template(), MARKS)
    assert patch["metadata"] == {"labels": {REVISION: "new", "team": None}, "annotations": {TEMPLATE_KEYS: None}}


DIGEST = "@sha256:" + "a" * 64


def with_env(*references: str, **metadata: dict[str, str]):
    """The web container and the proxy refer to what is named `web:path` or `proxy:path`."""
    made = template()
    for container in (made["spec"]["containers"][0], made["spec"]["initContainers"][1]):
        paths = [path for name, _, path in (each.partition(":") for each in references) if name == container["name"]]
        container["env"] = [{"name": f"V{n}", "valueFrom": {"fieldRef": {"fieldPath": path}}} for n, path in enumerate(paths)]
    return made | {"metadata": metadata}


def noted(digest: str = DIGEST, labels: dict[str, str] | None = None, **annotations: str) -> Pod:
    """A pod whose node tells the digests of its images."""
    plain = pod(**annotations)
    statuses = (
        tuple(msgspec.structs.replace(status, image_id=f"reg/{status.name}{digest}") for status in each)
        for each in (plain.status.container_statuses, plain.status.init_container_statuses)
    )
    status = PodStatus(container_statuses=next(statuses), init_container_statuses=next(statuses))
    return msgspec.structs.replace(
        plain, status=status, metadata=msgspec.structs.replace(plain.metadata, labels=labels or plain.metadata.labels)
    )


TEAM, NODE = "metadata.annotations['team']", "metadata.labels['topology.kubernetes.io/zone']"
AGAIN = '{"web":"2026-11-29T12:00:00+00:00"}'
RESTARTS = {
    "an annotation that the environment refers to": (with_env(f"web:{TEAM}"), {}, {"team": "b"}, ["web"]),
    "S-157: an annotation of two containers": (with_env(f"web:{TEAM}", f"proxy:{TEAM}"), {}, {"team": "b"}, ["proxy", "web"]),
    "an annotation that nobody refers to": (with_env(f"web:{TEAM}"), {"team": "b"}, {"team": "b", "other": "c"}, []),
    "one that the template no longer has": (
        with_env(f"web:{TEAM}"),
        {"team": "b", TEMPLATE_KEYS: '{"annotations":["team"]}'},
        {},
        ["web"],
    ),
    "a label that the node gave": (with_env(f"web:{NODE}"), {}, {}, []),
    "a restart that the template asks for": (with_env(), {}, {CONTAINERS_RESTARTED_AT: AGAIN}, ["web"]),
    "the same restart": (with_env(), {CONTAINERS_RESTARTED_AT: AGAIN}, {CONTAINERS_RESTARTED_AT: AGAIN}, []),
    "a template from before the restart": (with_env(), {CONTAINERS_RESTARTED_AT: AGAIN}, {}, []),
    "a restart that nobody can read": (with_env(), {}, {CONTAINERS_RESTARTED_AT: "now"}, []),
}


@pytest.mark.parametrize("case", RESTARTS)
def test_containers_restart_with_their_image_for_what_they_read_of_the_pod_and_for_a_request(case: str):
    wanted, present, annotations, restarted = RESTARTS[case]
    before = noted(labels={REVISION: "old", "topology.kubernetes.io/zone": "a"}, **present)
    patch = in_place_update.patch(before, wanted, PodMetadata({REVISION: "new"}, annotations))
    spec = patch.get("spec", {})
    named = {each["name"]: each["image"] for each in (*spec.get("containers", ()), *spec.get("initContainers", ()))}
    assert named == {name: {"web": "hello:1", "proxy": "proxy:1"}[name] + DIGEST for name in restarted}
    record = patch["metadata"].get("annotations", {}).get(IN_PLACE)
    ids = {name: each["id"] for name, each in msgspec.json.decode(record).items()} if record else {}
    assert ids == {name: {"web": "c1", "proxy": "c2"}[name] for name in restarted}


def test_a_container_that_restarted_with_its_image_is_waited_for_and_is_no_other_image_afterwards():
    """S-150, S-153: the next update of another container leaves it alone."""
    patch = in_place_update.patch(noted(), with_env(), PodMetadata({}, {CONTAINERS_RESTARTED_AT: AGAIN}))
    notes = {key: value for key, value in patch["metadata"]["annotations"].items() if value}
    image = patch["spec"]["containers"][0]["image"]
    assert in_place_update.is_pending(pod(image, **notes))
    after = pod(image, {"web": "c9", "proxy": "c2"}, **notes)
    assert not in_place_update.is_pending(after)
    update = in_place_update.patch(after, template(proxy="proxy:2"), PodMetadata({}, {CONTAINERS_RESTARTED_AT: AGAIN}))
    assert update["spec"] == {"initContainers": [{"name": "proxy", "image": "proxy:2"}]}


def test_a_restart_in_the_middle_of_going_back_is_still_waited_for():
    patch = in_place_update.patch(noted(), with_env(), PodMetadata({}, {CONTAINERS_RESTARTED_AT: AGAIN}))
    notes = {key: value for key, value in patch["metadata"]["annotations"].items() if value}
    halfway = pod(patch["spec"]["containers"][0]["image"], **notes)
    back = in_place_update.patch(halfway, with_env(), PodMetadata({}, {}))
    assert "spec" not in back
    assert msgspec.json.decode(back["metadata"]["annotations"][IN_PLACE])["web"]["id"] == "c1"


def test_without_a_digest_no_container_restarts_alone():
    wanted, marks = with_env(f"web:{TEAM}"), PodMetadata({}, {"team": "b"})
    assert in_place_update.is_possible(noted(), wanted, marks)
    assert not in_place_update.is_possible(noted(digest=""), wanted, marks)
    assert in_place_update.is_possible(noted(digest=""), with_env(), marks)


def test_a_container_that_the_platform_injected_restarts_for_no_annotation_of_a_template():
    wanted = with_env()
    wanted["spec"].pop("initContainers")
    patch = in_place_update.patch(noted(), wanted, PodMetadata({}, {CONTAINERS_RESTARTED_AT: '{"proxy":"2"}'}))
    assert "spec" not in patch
