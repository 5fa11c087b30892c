"""What is deleted leaves nothing, another project is not concerned, and a lowered limit ends nothing that runs."""

from __future__ import annotations

from live_region import Region
from story_manifests import single, web
from story_projects import make_project

from pincompute.api.builtin import PODS, RESOURCEQUOTAS
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS
from pincompute.domain.namespace_quotas import HEADROOM, PODS_QUOTA


def test_delete_leaves_nothing_in_any_cluster(region: Region, project: str):
    """S-006, S-008: the host object goes last, when no shard and no pod is left."""
    region.apply(web(project, replicas=3))
    region.apply(single(project))
    region.settled(project, "web")
    assert region.leftovers(project, "web") != []
    region.delete("PinApp", project, "web")
    region.eventually("the app is gone from the host", lambda: region.host.get(PINAPPS, project, "web") is None)
    assert region.leftovers(project, "web") == []
    region.delete("PinPod", project, "single")
    region.eventually("nothing is left of the PinPod", lambda: not region.leftovers(project, "single"))


def test_deleted_and_made_again_under_the_same_name(region: Region, project: str):
    """S-009: the new one's pods are its own, not those of the deleted one."""
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    old = region.uids(project, "web")
    region.delete("PinApp", project, "web")
    region.eventually("the first is gone", lambda: region.host.get(PINAPPS, project, "web") is None)
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    assert not old & region.uids(project, "web")


def test_the_same_name_in_two_projects(region: Region, project: str):
    """Namespace = project: deleting one leaves the other as it was."""
    other = f"{project}-x"
    make_project(region, other)
    for name in (project, other):
        region.apply(web(name, replicas=3))
    for name in (project, other):
        region.settled(name, "web")
    assert region.http("a", project, "web")["project"] == project
    assert region.http("a", other, "web")["project"] == other
    kept = region.uids(other, "web")
    with region.watching(other, "web") as during:
        region.delete("PinApp", project, "web")
        region.eventually("one is gone", lambda: not region.leftovers(project, "web"))
    assert region.uids(other, "web") == kept
    assert during.fewest_ready == 3
    region.delete("PinApp", other, "web")
    region.eventually("the other is gone", lambda: not region.leftovers(other, "web"))


def test_a_replica_beyond_a_lowered_limit_is_made_again(region: Region, project: str):
    """SPEC #60: a limit below what is used ends nothing that runs, and the quotas fall as use falls."""
    member, replicas = region.members["a1"], 4
    region.apply(web(project, replicas=replicas, placement={"clusters": ["a1"]}))
    region.settled(project, "web", replicas)

    def quota() -> str:
        found = member.get(RESOURCEQUOTAS, project, PODS_QUOTA)
        return found.spec["hard"]["pods"] if found is not None else ""

    region.host.change(PROJECTS, "", project, {"spec": {"limits": {"pods": 1}}})
    region.eventually("the quota follows from what runs", lambda: quota() == str(HEADROOM * replicas))
    old = region.uids(project, "web")
    for placed in region.pods(project, "web"):
        member.delete(PODS, project, placed.pod.metadata.name)
    region.eventually("all are other pods", lambda: len(region.uids(project, "web") - old) == replicas)
    region.settled(project, "web", replicas)
    region.scale(project, "web", 1)
    region.eventually("the quota follows from the limit", lambda: quota() == str(HEADROOM))
