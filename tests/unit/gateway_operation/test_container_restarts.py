"""One container restarts while the others keep running, by another name of the image that it runs."""

from __future__ import annotations

import msgspec
import pytest

from pincompute.api import labels
from pincompute.api.builtin import Container, ContainerStatus, Pod, PodSpec, PodStatus
from pincompute.api.meta import ObjectMeta
from pincompute.domain import container_restart, in_place_update
from pincompute.domain.container_restart import ContainerRestart, Impossible
from pincompute.domain.shard_pods import PodMetadata

DIGEST = "sha256:" + "a" * 64


def pod(
    image: str = "reg:5000/team/web:1", told: str = f"reg:5000/team/web@{DIGEST}", notes: dict[str, str] | None = None
) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="web-a1-0", annotations=notes or {}),
        spec=PodSpec(
            containers=(Container(name="main", image=image), Container(name="other", image="o:1")),
            init_containers=(Container(name="side", image="s:2", restart_policy="Always"), Container(name="init", image="i")),
        ),
        status=PodStatus(
            container_statuses=(ContainerStatus(name="main", image_id=told, container_id="c1"),),
            init_container_statuses=(ContainerStatus(name="side", image_id=f"s@{DIGEST}"),),
        ),
    )


def ask(name: str = "main", identity: str = "r1") -> ContainerRestart:
    return ContainerRestart(name, "ann", "stuck", identity)


def after(before: Pod, patch: dict) -> Pod:
    image = patch["spec"]["containers"][0]["image"]
    return pod(image, notes={**before.metadata.annotations, **patch["metadata"]["annotations"]})


def test_only_the_named_container_gets_another_name_of_the_same_image() -> None:
    patch = container_restart.decide(pod(), ask())
    assert isinstance(patch, dict)
    assert patch["spec"] == {"containers": [{"name": "main", "image": f"reg:5000/team/web:1@{DIGEST}"}]}


def test_it_works_again_and_again_and_never_changes_the_image() -> None:
    present, names = pod(), list[str]()
    for n in range(4):
        patch = container_restart.decide(present, ask(identity=str(n)))
        assert isinstance(patch, dict)
        before, present = present, after(present, patch)
        assert present.spec.containers[0].image != before.spec.containers[0].image
        names.append(present.spec.containers[0].image)
    assert all(name.endswith(DIGEST) for name in names)


def test_a_request_that_comes_again_restarts_nothing() -> None:
    patch = container_restart.decide(pod(), ask())
    assert isinstance(patch, dict)
    assert container_restart.decide(after(pod(), patch), ask()) == {}


def test_an_update_of_another_container_does_not_restart_it_once_more() -> None:
    """S-150: the other name is not taken for a change."""
    patch = container_restart.decide(pod(), ask())
    assert isinstance(patch, dict)
    template = {"spec": {"containers": [{"name": "main", "image": "reg:5000/team/web:1"}, {"name": "other", "image": "o:2"}]}}
    update = in_place_update.patch(after(pod(), patch), template, PodMetadata({}, {}))
    assert update["spec"]["containers"] == [{"name": "other", "image": "o:2"}]


def test_a_sidecar_restarts_like_a_container() -> None:
    patch = container_restart.decide(pod(), ask("side"))
    assert isinstance(patch, dict)
    assert patch["spec"] == {"initContainers": [{"name": "side", "image": f"s:2@{DIGEST}"}]}


IMPOSSIBLE = {
    "there is none of that name": ("nope", pod(), "there is no container nope"),
    "it has ended long ago": ("init", pod(), "there is no container init"),
    "its image came by no registry": ("main", pod(told="sha256:abc"), "whose digest its node does not tell"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_is_missing_is_said(case: str) -> None:
    name, given, words = IMPOSSIBLE[case]
    answer = container_restart.decide(given, ask(name))
    assert isinstance(answer, Impossible)
    assert words in answer.why


def test_who_and_why_stand_on_the_pod() -> None:
    patch = container_restart.decide(pod(), ask())
    assert isinstance(patch, dict)
    entry = msgspec.json.decode(patch["metadata"]["annotations"][labels.RESTARTS])["main"]
    assert (entry["by"], entry["why"], entry["image"]) == ("ann", "stuck", "reg:5000/team/web:1")
