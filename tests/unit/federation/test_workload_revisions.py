"""Superseded templates are kept as objects, newest with the highest number: S-131."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from federation.object_builders import NOW, app, member, shard, template
from msgspec import structs

from pincompute.api.kinds import KINDS
from pincompute.api.labels import CHANGE_CAUSE, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, ObjectMeta, OwnerReference
from pincompute.api.projects import PROJECTS, Project, ProjectLimits, ProjectSpec
from pincompute.api.revisions import PinRevision, PinRevisionSpec
from pincompute.api.workloads import ClusterReplicas, RevisionNote, RolloutStatus, Scheduling, WorkloadStatus
from pincompute.engine.plan import Confirm, Create, Delete, Patch
from pincompute.federation.workload import revision_history, workload_controller
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.revision_history import Revisions
from pincompute.federation.workload.workload_controller import ObservedWorkload
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Views
from pincompute.kube.object_store import ObjectStore

KINDS_BY_NAME = {kind.name: kind for kind in KINDS}
PLACED = Scheduling(generation=1, revision="r", placement=(ClusterReplicas(cluster="a1", zone="a", replicas=2),))
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
    assert (made.uid, made.body) == ("r1", {"spec": {"number": 3, "note": "", "failure": ""}})


def test_a_revision_that_comes_back_keeps_its_note():
    """The status tells notes at a pace, so it may not have told that of the revision which a rollback brought back."""
    back = app(pod=IMAGES[3], status=WorkloadStatus(revision=name(1)))
    first = kept(1, 1)
    first = structs.replace(first, spec=structs.replace(first.spec, note="the first"))
    (made,) = revision_history.decide(back, running(1), (first, kept(2, 2)))
    assert (made.body["spec"]["number"], made.body["spec"]["note"]) == (3, "the first")


def test_nothing_is_written_while_an_update_goes_on():
    """The newest is known, and the wanted one is not superseded."""
    updating = app(pod=IMAGES[2], status=WorkloadStatus(revision=name(2)))
    assert revision_history.decide(updating, running(1), (kept(1, 1),)) == ()
    assert revision_history.decide(updating, running(2), (kept(1, 1),)) == ()


def noted(workload: Workload, text: str) -> Workload:
    meta = structs.replace(workload.obj.metadata, annotations={CHANGE_CAUSE: text})
    return replace(workload, obj=structs.replace(workload.obj, metadata=meta))


def test_a_superseded_revision_keeps_its_note():
    """The workload has the note of the next one by then, and the status still that of the one before."""
    before = RevisionNote(revision=name(1), note="the first")
    after = noted(app(pod=IMAGES[2], status=WorkloadStatus(revision=name(1), note=before)), "the second")
    (made,) = revision_history.decide(after, running(1), ())
    assert isinstance(made, Create)
    assert made.body["spec"]["note"] == "the first"


def test_what_has_failed_keeps_its_note_and_the_cause_when_it_is_undone():
    record = RolloutStatus(revision=name(2), stable=name(1), state="RollingBack", failure="it crashes")
    failed = noted(app(pod=IMAGES[2], status=WorkloadStatus(revision=name(1), rollout=record)), "the second")
    undone = replace(failed, rendered=app(pod=IMAGES[1]).rendered)
    (made,) = revision_history.decide(undone, running(2), (kept(1, 1),), name(2))
    assert isinstance(made, Create)
    assert (made.body["spec"]["note"], made.body["spec"]["failure"]) == ("the second", "it crashes")


def test_what_serves_on_is_kept_while_the_update_has_not_begun():
    """A hook that refuses before the first step leaves it serving: it is listed, and a rollback finds it."""
    waiting = app(pod=IMAGES[2], status=WorkloadStatus(revision=name(1)))
    unbegun = replace(waiting, rendered=app(pod=IMAGES[1]).rendered)
    (made,) = revision_history.decide(unbegun, running(1), (kept(0, 1),), name(2))
    assert isinstance(made, Create)
    assert (made.body["spec"]["revision"], made.body["spec"]["number"]) == (name(1), 2)
    undone = (kept(1, 2), kept(2, 3))
    assert revision_history.decide(unbegun, running(1), undone, name(2)) == (), "what is undone does not count on"


@pytest.mark.parametrize(("text", "told"), [("", None), (" a\tb\x1b[31m\n c ", "a b [31m c"), ("x" * 600, "x" * 500)])
def test_a_note_is_one_line_of_bounded_length(text: str, told: str | None):
    made = revision_history.note(noted(app(), text).obj, "r")
    assert (made.note if made is not None else None) == told


def test_as_many_are_kept_as_the_spec_says_and_the_one_that_a_rollback_returns_to():
    old = tuple(kept(n, n + 1) for n in range(4))
    of = app(pod=IMAGES[15], status=WorkloadStatus(rollout=RolloutStatus(revision=name(15), stable=name(0))))
    of = replace(of, obj=structs.replace(of.obj, spec=structs.replace(of.obj.spec, history_limit=1)))
    gone = revision_history.expired(of, running(15), Revisions(old))
    assert [delete.uid for delete in gone] == ["r1", "r2"]


def test_the_oldest_beyond_ten_go_unless_they_run():
    old = tuple(kept(n, n + 1) for n in range(13))
    gone = revision_history.expired(app(pod=IMAGES[15]), running(1), Revisions(old))
    assert [delete.uid for delete in gone] == ["r0", "r2"]


def test_a_project_beyond_its_limit_loses_the_oldest_revision_that_nothing_needs():
    """One at a time: the next reconciliation sees what is left. 0 may be returned to, and 1 runs."""
    old = tuple(kept(n, n + 1) for n in range(4))
    of = app(pod=IMAGES[15], status=WorkloadStatus(rollout=RolloutStatus(revision=name(15), stable=name(0))))
    gone = revision_history.expired(of, running(1), Revisions(old, surplus=1))
    assert [delete.uid for delete in gone] == ["r2"]
    assert "limit documents" in gone[0].why
    assert revision_history.expired(of, running(1), Revisions(old)) == ()


def test_the_newest_revision_stays_for_a_rollback_however_much_the_project_keeps():
    present = app(pod=IMAGES[15])
    assert revision_history.expired(present, running(15), Revisions((kept(3, 1),), surplus=1 << 30)) == ()
    back = app(pod=IMAGES[3])  # what runs is kept as well, since it was superseded once
    assert revision_history.expired(back, running(3), Revisions((kept(1, 1), kept(3, 2)), surplus=1 << 30)) == ()


def stray(n: int, **meta: Any) -> PinRevision:
    made = kept(n, 1)
    given = {"name": f"pinapp-hello-{name(n)}", "labels": {MANAGED_BY: PINCOMPUTE}, "owner_references": (), **meta}
    return structs.replace(made, metadata=structs.replace(made.metadata, **given))


def filed(*revisions: PinRevision) -> Views:
    """Views of a host that holds these revisions."""
    store = ObjectStore[PinRevision](revision_history.INDEXES)
    for revision in revisions:
        store.put(revision)
    projects = ObjectStore[Project]({})
    projects.put(Project(metadata=ObjectMeta(name="demo"), spec=ProjectSpec(limits=ProjectLimits(documents="3Ki"))))
    return cast("Views", SimpleNamespace(view=lambda _cluster, resource: projects if resource is PROJECTS else store))


def test_a_workload_sees_what_all_revisions_of_its_project_take_beyond_the_limit():
    """Each of these takes one step of 1 KiB; those of another project do not count."""
    own = [stray(n, owner_references=(OWN,)) for n in (1, 2)]
    others = [stray(n, name=f"pinapp-other-{name(n)}") for n in (3, 4)]
    elsewhere = [stray(n, namespace="elsewhere") for n in (5, 6)]
    assert revision_history.observe(app(pod=IMAGES[9]), filed(*own, others[0], *elsewhere)).surplus == 0
    assert revision_history.observe(app(pod=IMAGES[9]), filed(*own, *others, *elsewhere)).surplus == 1024


OTHER = OwnerReference(kind="PinApp", name="hello", uid="uid-of-an-earlier-hello")
OWN = OwnerReference(kind="PinApp", name="hello", uid="uid-hello")
STRAY: dict[str, tuple[PinRevision, bool, bool]] = {
    "the workload's own": (stray(1, owner_references=(OWN,)), True, False),
    "its owner was orphaned": (stray(1), False, True),
    "of an earlier workload of this name": (stray(1, owner_references=(OTHER,)), False, True),
    "is being deleted already": (stray(1, deletion_timestamp=NOW), False, False),
    "somebody else made it": (stray(1, labels={}), False, False),
    "of another workload": (stray(1, name=f"pinapp-hello-2-{name(1)}"), False, False),
    "of a unit of the same name": (stray(1, name=f"pinpod-hello-{name(1)}"), False, False),
    "in another project": (stray(1, namespace="other"), False, False),
}


@pytest.mark.parametrize("case", STRAY)
def test_revisions_under_the_name_are_the_workloads_own_or_stray(case: str):
    revision, own, is_stray = STRAY[case]
    found = revision_history.observe(app(pod=IMAGES[2]), filed(revision))
    assert found == Revisions((revision,) * own, (revision,) * is_stray)


def test_a_stray_revision_goes_before_its_name_is_needed():
    """Otherwise the name would be taken for ever, and no update would begin (`kubectl delete --cascade=orphan`)."""
    workload, old = app(pod=IMAGES[2], scheduling=PLACED), stray(1)
    seen = ObservedWorkload(NOW, workload, running(1), Revisions(stray=(old,)))
    guard, deletes, creates = workload_controller.decide(seen).stages[:3]
    assert isinstance(guard[0], Confirm)
    assert [(a.ref.key.name, a.uid) for a in deletes if isinstance(a, Delete)] == [(old.metadata.name, old.metadata.uid)]
    assert [a.ref.key.name for a in creates] == [old.metadata.name]


def test_events_of_a_revision_concern_the_workload_of_its_name():
    assert list(revision_history.workload_key(KINDS_BY_NAME["pinapp"], stray(1))) == [Key("demo", "hello")]
    assert list(revision_history.workload_key(KINDS_BY_NAME["pinpod"], stray(1))) == []
