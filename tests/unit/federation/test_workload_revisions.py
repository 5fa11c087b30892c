"""Superseded templates are kept as objects, newest with the highest number: S-131."""

from __future__ import annotations

from federation.object_builders import app, member, shard, template

from pincompute.api.meta import ObjectMeta, OwnerReference
from pincompute.api.revisions import PinRevision, PinRevisionSpec
from pincompute.api.workloads import WorkloadStatus
from pincompute.engine.plan import Create, Patch
from pincompute.federation.workload import revision_history
from pincompute.federation.workload.member_shards import MemberShard

IMAGES = [template(f"registry.internal/hello:{n}") for n in range(20)]


def name(n: int) -> str:
    return app(pod=IMAGES[n]).rendered.revision


def kept(n: int, number: int) -> PinRevision:
    owner = OwnerReference(kind="PinApp", name="hello", uid="uid-hello")
    meta = ObjectMeta(name=f"pinapp-hello-{n}", namespace="demo", uid=f"r{n}", resource_version="1", owner_references=(owner,))
    return PinRevision(metadata=meta, spec=PinRevisionSpec(revision=name(n), number=number, template=IMAGES[n]))


def running(n: int) -> tuple[MemberShard, ...]:
    return (MemberShard(member("a1"), shard(app(pod=IMAGES[n]), "a1", 2)),)


def test_what_is_superseded_is_made_an_object_of_the_workload():
    (made,) = revision_history.decide(app(pod=IMAGES[2]), running(1), ())
    assert isinstance(made, Create)
    assert made.ref.key.name == f"pinapp-hello-{name(1)}"
    assert made.body["metadata"]["ownerReferences"][0]["uid"] == "uid-hello"
    assert (made.body["spec"]["revision"], made.body["spec"]["number"]) == (name(1), 1)
    assert made.body["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.internal/hello:1"


def test_numbers_count_on():
    (made,) = revision_history.decide(app(pod=IMAGES[3]), running(2), (kept(0, 1), kept(1, 2)))
    assert isinstance(made, Create)
    assert made.body["spec"]["number"] == 3


def test_a_template_that_is_superseded_once_more_becomes_the_newest():
    """So that a rollback after 1, 2, 1, 3 leads to 1."""
    back = app(pod=IMAGES[3], status=WorkloadStatus(revision=name(1)))
    (made,) = revision_history.decide(back, running(1), (kept(1, 1), kept(2, 2)))
    assert isinstance(made, Patch)
    assert (made.uid, made.body) == ("r1", {"spec": {"number": 3}})


def test_nothing_is_written_while_an_update_goes_on():
    """The newest is known, and the wanted one is not superseded."""
    updating = app(pod=IMAGES[2], status=WorkloadStatus(revision=name(2)))
    assert revision_history.decide(updating, running(1), (kept(1, 1),)) == ()
    assert revision_history.decide(updating, running(2), (kept(1, 1),)) == ()


def test_the_oldest_beyond_ten_go_unless_they_run():
    old = tuple(kept(n, n + 1) for n in range(13))
    gone = revision_history.expired(app(pod=IMAGES[15]), running(1), old)
    assert [delete.uid for delete in gone] == ["r0", "r2"]
