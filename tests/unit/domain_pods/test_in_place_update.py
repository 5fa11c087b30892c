"""Updates in place: S-150, S-153, S-154, S-155."""

from __future__ import annotations

import msgspec

from pincompute.api.builtin import Container, ContainerStatus, Pod, PodSpec, PodStatus
from pincompute.api.labels import IN_PLACE, REVISION, TEMPLATE_KEYS
from pincompute.api.meta import ObjectMeta
from pincompute.domain import in_place_update
from pincompute.domain.shard_pods import Marks

MARKS = Marks({REVISION: "new"}, {})


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
