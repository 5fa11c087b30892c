"""More and fewer replicas: zones stay even, nothing moves that may stay, and nobody is told `done` too early."""

from __future__ import annotations

from live_region import Region
from story_manifests import web

from pincompute.api.shards import PINAPPSHARDS


def test_three_nine_two(region: Region, project: str):
    """N2, S-020, S-030, S-031: skew between zones is at most 1 at each stop, and no pod is made or ended that need not be."""
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    assert sorted(region.spread(project, "web").values()) == [1, 1, 1]
    three = region.uids(project, "web")

    with region.watching(project, "web") as up:
        region.scale(project, "web", 9)
        region.settled(project, "web")
    assert region.spread(project, "web") == {"a": 3, "b": 3, "c": 3}
    nine = region.uids(project, "web")
    assert three < nine
    assert (up.most_live, up.fewest_ready) == (9, 3)

    with region.watching(project, "web") as down:
        region.scale(project, "web", 2)
        region.settled(project, "web")
    assert sorted(region.spread(project, "web").values()) == [0, 1, 1]
    assert region.uids(project, "web") < nine
    assert (down.most_live, down.fewest_ready) == (9, 2)


def test_down_to_nothing_and_back(region: Region, project: str):
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    region.scale(project, "web", 0)
    region.settled(project, "web")
    assert region.app(project, "web").status.phase == "Stopped"
    region.scale(project, "web", 3)
    region.settled(project, "web")
    assert region.spread(project, "web") == {"a": 1, "b": 1, "c": 1}


def test_done_is_not_said_while_one_member_has_not_acted(region: Region, project: str):
    """S-020: the operator of one member stands still; the others finish, and observedGeneration stays behind."""
    region.apply(web(project, replicas=3))
    before = region.settled(project, "web").metadata.generation
    with region.frozen("b1-operator"):
        region.scale(project, "web", 6)

        def others_are_done() -> bool:
            lines = {line.cluster: line for line in region.app(project, "web").status.clusters}
            return all(lines[c].observed_generation > before and lines[c].ready_replicas == 2 for c in ("a1", "c1"))

        region.eventually("a1 and c1 have acted on the new generation", others_are_done)
        shard = region.members["b1"].get(PINAPPSHARDS, project, "web")
        assert shard is not None
        assert shard.spec.origin.generation > before > shard.status.origin_generation - 1
        assert region.app(project, "web").status.observed_generation == before
    region.settled(project, "web", replicas=6)


def test_kubectl_scale_and_the_scale_subresource(region: Region, project: str):
    region.apply(web(project, replicas=1))
    region.settled(project, "web")
    region.kubectl("scale", "pinapp/web", "-n", project, "--replicas=3")
    region.settled(project, "web", replicas=3)
    raw = region.kubectl("get", "--raw", f"/apis/pincompute.io/v1alpha1/namespaces/{project}/pinapps/web/scale")
    assert '"replicas":3' in raw
    assert f'"selector":"{region.app(project, "web").status.selector}"' in raw
