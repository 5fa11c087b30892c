"""A new version reaches what runs: in place where running pods can take it, else by replacement, never below the budget."""

from __future__ import annotations

import steady_requests
from live_region import Placed, Region, ask
from story_manifests import example, single, web
from terminal_user import TALKER, TerminalUser

from pincompute.api.builtin import PODS, ContainerStatus
from pincompute.api.labels import IMAGE_PULL_SHARD_UID
from pincompute.api.meta import Manifest
from pincompute.region.nodes import cgroups


def sidecar(placed: Placed) -> ContainerStatus:
    (status,) = placed.pod.status.init_container_statuses
    return status


def main(placed: Placed) -> ContainerStatus:
    (status,) = placed.pod.status.container_statuses
    return status


def kept(placed: Placed) -> tuple[object, ...]:
    """All that an update in place must not change."""
    side = sidecar(placed)
    assert side.state is not None
    assert side.state.running is not None
    node, address = placed.pod.spec.node_name, placed.pod.status.pod_ip
    return (
        placed.uid,
        placed.pod.metadata.name,
        node,
        address,
        side.container_id,
        side.restart_count,
        side.state.running.started_at,
    )


def test_a_new_image_restarts_only_its_container(region: Region, project: str):
    """S-150, S-153, N16: pod, address and sidecar stay in every pod; half the replicas serve at every moment."""
    update = {"maxUnavailable": "50%", "maxSurge": 0}
    region.apply(example(project, update=update))
    region.settled(project, "hello")
    before = {placed.uid: placed for placed in region.pods(project, "hello")}

    manifest = example(project, update=update)
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.internal/hello:2"
    with region.watching(project, "hello") as during:
        region.apply(manifest)
        app = region.settled(project, "hello")
    after = {placed.uid: placed for placed in region.pods(project, "hello")}

    assert [kept(after[uid]) for uid in sorted(before)] == [kept(before[uid]) for uid in sorted(before)]
    assert all(main(after[uid]).container_id != main(before[uid]).container_id for uid in before)
    assert {ask(placed.pod)["version"] for placed in after.values()} == {"2"}
    assert {placed.pod.metadata.labels["pincompute.io/revision"] for placed in after.values()} == {app.status.revision}
    assert during.most_live == 6
    assert during.fewest_ready >= 3  # over all clusters: when one is done first, the others share what it no longer needs


def test_no_request_is_lost_while_replicas_restart_in_place(region: Region, project: str):
    """S-152: each of two replicas of a Service leaves its endpoints before its container ends, and is back in the same pod."""
    spec = {"replicas": 2, "placement": {"zones": ["a"]}, "update": {"maxUnavailable": 1, "maxSurge": 0}}
    region.apply(web(project, **spec))
    region.settled(project, "web")
    before = {placed.uid: main(placed) for placed in region.pods(project, "web")}
    (cluster,) = {placed.cluster for placed in region.pods(project, "web")}
    member = region.members[cluster]
    steady_requests.serve(member, project, "web")
    region.eventually("the service has two endpoints", lambda: len(steady_requests.endpoints(member, project, "web")) == 2)
    with steady_requests.steadily(member, project, "web") as sent:
        region.apply(web(project, image="hello:2", **spec))
        region.settled(project, "web")
    after = {placed.uid: main(placed) for placed in region.pods(project, "web")}
    assert after.keys() == before.keys()
    assert all(after[uid].container_id != before[uid].container_id for uid in before)
    assert {"1", "2"} == set(sent.answers)
    assert not sent.failures, f"{len(sent.failures)} of {len(sent.answers) + len(sent.failures)} failed: {sent.failures[:3]}"


def test_a_change_of_the_environment_replaces_pods_within_the_budget(region: Region, project: str):
    """S-151: what is not allowed in place is replaced; nobody is missing, and one more a cluster exists at most."""
    update = {"maxUnavailable": 0, "maxSurge": 1}
    region.apply(web(project, replicas=6, color="red", update=update))
    region.settled(project, "web")
    before = region.uids(project, "web")
    with region.watching(project, "web") as during:
        region.apply(web(project, replicas=6, color="blue", update=update))
        region.settled(project, "web")
    assert not before & region.uids(project, "web")
    assert during.fewest_ready == 6
    assert max(during.most_live_in.values()) == 3
    assert region.spread(project, "web") == {"a": 2, "b": 2, "c": 2}


def test_recreate_replaces_pods_although_only_the_image_changed(region: Region, project: str):
    update = {"inPlace": "Never", "maxUnavailable": 1, "maxSurge": 0}
    region.apply(web(project, replicas=3, update=update))
    region.settled(project, "web")
    before = region.uids(project, "web")
    with region.watching(project, "web") as during:
        region.apply(web(project, replicas=3, image="hello:2", update=update))
        region.settled(project, "web")
    assert not before & region.uids(project, "web")
    assert during.most_live == 3
    assert region.http("a", project, "web")["version"] == "2"


def test_an_image_that_cannot_be_pulled_ends_no_container(region: Region, project: str):
    """S-158: the update says why it cannot begin, everything serves on, and the next image comes in place."""
    update = {"maxUnavailable": 2, "maxSurge": 0}
    region.apply(web(project, replicas=3, update=update))
    region.settled(project, "web")
    before = {placed.uid: main(placed).container_id for placed in region.pods(project, "web")}
    with region.watching(project, "web") as during:
        region.apply(web(project, replicas=3, image="hello:unpushed", update=update))

        def told() -> bool:
            return "hello:unpushed of container hello cannot be pulled" in region.app(project, "web").status.message

        region.eventually("the status says why", told)
        assert {placed.uid: main(placed).container_id for placed in region.pods(project, "web")} == before
        region.apply(web(project, replicas=3, image="hello:2", update=update))
        region.settled(project, "web")
    assert region.uids(project, "web") == before.keys()
    assert {ask(placed.pod)["version"] for placed in region.pods(project, "web")} == {"2"}
    assert during.fewest_ready >= 1

    def no_pod_pulls() -> bool:
        pods = (pod for member in region.members.values() for pod in member.list(PODS, project))
        return not any(IMAGE_PULL_SHARD_UID in pod.metadata.labels for pod in pods)

    region.eventually("the pods that pulled are gone", no_pod_pulls)


def test_going_back_in_the_middle_of_an_update_ends_with_the_old_version(region: Region, project: str):
    """S-124, S-154, S-155: a rollback never hangs, and pods that were not touched are not touched."""
    region.apply(web(project, replicas=6))
    region.settled(project, "web")
    before = region.uids(project, "web")
    region.apply(web(project, replicas=6, image="hello:2"))
    region.eventually(
        "the update has begun", lambda: any(p.pod.spec.containers[0].image.endswith(":2") for p in region.pods(project, "web"))
    )
    region.apply(web(project, replicas=6))
    region.settled(project, "web")

    def all_answer_as_before() -> bool:  # a container that its kubelet was already ending comes back a moment later
        return {ask(placed.pod)["version"] for placed in region.pods(project, "web")} == {"1"}

    region.eventually("every pod answers with version 1", all_answer_as_before)
    assert region.uids(project, "web") == before


def test_a_pinpod_runs_alone_and_is_updated_in_place(region: Region, project: str):
    """#10: one pod, by itself; a new image keeps the pod, a new environment does not, and there are never two."""

    def running(version: str) -> Placed:
        pod = region.single(project, "single")
        assert pod.status.phase == "Running"
        assert pod.status.observed_generation == pod.metadata.generation
        (placed,) = region.pods(project, "single")
        assert ask(placed.pod)["version"] == version
        return placed

    region.apply(single(project))
    first = region.eventually("the PinPod runs", lambda: running("1"))
    with region.watching(project, "single") as during:
        region.apply(single(project, image="hello:2"))
        second = region.eventually("the PinPod runs version 2", lambda: running("2"))
        assert (second.uid, second.pod.status.pod_ip) == (first.uid, first.pod.status.pod_ip)
        manifest = single(project, image="hello:2")
        manifest["spec"]["template"]["spec"]["containers"][0]["args"] = ["8080", "again"]
        region.apply(manifest)
        region.eventually("another pod runs", lambda: running("2").uid != first.uid)
    assert during.most_live == 1


def test_one_container_restarts_in_every_pod_by_itself(region: Region, admin: TerminalUser, project: str):
    """S-150, S-157, S-166: for a restart, and for an annotation that its environment reads; all else of each pod stays."""

    def of_team(team: str) -> Manifest:
        manifest = example(project, replicas=3, update={"inPlace": "Require", "maxUnavailable": "50%", "maxSurge": 0})
        template = manifest["spec"]["template"]
        template["metadata"] = {"annotations": {"team": team}}
        source = {"fieldRef": {"fieldPath": "metadata.annotations['team']"}}
        template["spec"]["containers"][0]["env"].append({"name": "VERSION", "valueFrom": source})
        return manifest

    def pods() -> dict[str, Placed]:
        region.settled(project, "hello")
        return {placed.uid: placed for placed in region.pods(project, "hello")}

    region.apply(of_team("red"))
    first = pods()
    region.apply(of_team("blue"))
    second = pods()
    said = admin.pin("restart", "hello", "--container", "hello", "--project", project)
    assert "restarts in every replica of hello" in said.out
    third = pods()
    for before, after in ((first, second), (second, third)):
        assert [kept(after[uid]) for uid in sorted(after)] == [kept(before[uid]) for uid in sorted(after)]
        assert all(main(after[uid]).container_id != main(before[uid]).container_id for uid in after)
        assert {ask(placed.pod)["version"] for placed in after.values()} == {"blue"}


def sized(memory: str, version: int = 1) -> str:
    """An app.yaml whose running replicas have to take every change."""
    return (
        "kind: App\nname: sized\nreplicas: 3\nterminationGracePeriod: 1s\nupdate: {inPlace: Require}\n"
        f"containers:\n- name: web\n  image: {TALKER}:{version}\n  command: [sleep, '100000']\n"
        f"  resources: {{cpu: 10m, memory: {memory}}}\n"
    )


def memory_limit(placed: Placed) -> str:
    """What the control group of the only container says."""
    group = f"pincompute-*/*/kubepods/*/pod{placed.uid}/{main(placed).container_id.removeprefix('containerd://')}"
    files = ("memory.limit_in_bytes", "memory.max")
    (found,) = [path for tree in cgroups.hierarchies() for name in files for path in tree.path.glob(f"{group}/{name}")]
    return found.read_text().strip()


def test_more_memory_reaches_containers_that_run_on(region: Region, dev: TerminalUser, shop: str):
    """S-150, S-153: nothing restarts; with another image, that container starts once, and has the new limit then."""

    def deployed(memory: str, version: int = 1) -> tuple[str, dict[str, Placed]]:
        dev.write("app.yaml", sized(memory, version))
        said = dev.pin("deploy").out
        return said, {placed.uid: placed for placed in region.pods(shop, "sized")}

    _, before = deployed("32Mi")
    said, after = deployed("48Mi")
    assert "resizes its running containers, step by step, where their nodes can" in said
    ran = {uid: (main(placed).container_id, main(placed).restart_count) for uid, placed in before.items()}
    assert {uid: (main(placed).container_id, main(placed).restart_count) for uid, placed in after.items()} == ran
    assert {memory_limit(placed) for placed in after.values()} == {str(48 * 2**20)}

    _, both = deployed("64Mi", 2)
    assert {uid: main(placed).restart_count for uid, placed in both.items()} == dict.fromkeys(before, 1)
    assert {memory_limit(placed) for placed in both.values()} == {str(64 * 2**20)}
