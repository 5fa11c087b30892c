"""What restart, rollback and scale do while an update is under way, as docs/disruption.md says (S-258)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from replica_samples import NOW, app

from pincompute.api import labels, template_hash
from pincompute.api.kinds import PINAPP
from pincompute.api.meta import Manifest
from pincompute.api.workloads import ClusterStatus, PinApp, RolloutStatus, WorkloadStatus
from pincompute.gateway.operation import lifecycle_rules
from pincompute.gateway.operation.lifecycle_rules import LifecycleRequest, RollbackRevision
from pincompute.gateway.problems import Problem


def template(tag: str) -> Manifest:
    return {"spec": {"containers": [{"name": "main", "image": f"r/web:{tag}"}]}}


def name(tag: str) -> str:
    return template_hash.revision(template(tag))


def asked(verb: Any, **more: Any) -> LifecycleRequest:
    return LifecycleRequest(**{"verb": verb, "by": "ann", "why": "", "at": NOW, "id": "r1", **more})


def updating(*, taken_up: bool = True, **spec: Any) -> PinApp:
    """From :2 to :3, with one replica of three at the new template; before it was taken up, all are at the old one."""
    status = WorkloadStatus(
        observed_generation=3 if taken_up else 2,
        phase="Progressing",
        revision=name("3") if taken_up else name("2"),
        clusters=(ClusterStatus(cluster="a1", zone="a", replicas=4, ready_replicas=3, updated_replicas=int(taken_up)),),
    )
    return msgspec.structs.replace(app(template=template("3"), **spec), status=status)


def history(*tags: str, good: tuple[str, ...] = ()) -> tuple[RollbackRevision, ...]:
    return tuple(RollbackRevision(name(tag), template(tag), NOW, ran_well=tag in good) for tag in tags)


def images(change: lifecycle_rules.LifecycleChange) -> list[str]:
    return [container["image"] for container in change.spec["template"]["spec"]["containers"]]


def test_a_restart_replaces_all_pods_with_the_new_template_and_starts_no_second_update() -> None:
    change = lifecycle_rules.decide(PINAPP, updating(), asked("restart"))
    assert set(change.spec["template"]) == {"metadata"}, "the template that is being rolled out stays"
    assert labels.RESTARTED_AT in change.spec["template"]["metadata"]["annotations"]


def test_a_scale_changes_the_number_alone() -> None:
    assert lifecycle_rules.decide(PINAPP, updating(), asked("scale", replicas=9)).spec == {"replicas": 9}


def test_a_rollback_turns_back_to_what_ran_before() -> None:
    change = lifecycle_rules.decide(PINAPP, updating(), asked("rollback", history=history("3", "2", "1", good=("2", "1"))))
    assert (change.to, images(change)) == (name("2"), ["r/web:2"])


def test_a_rollback_of_an_update_that_was_undone_goes_to_what_serves() -> None:
    undone = updating()
    record = RolloutStatus(revision=name("3"), stable=name("2"), state="RolledBack")
    status = msgspec.structs.replace(undone.status, revision=name("2"), rollout=record)
    known = history("3", "2", "1", good=("2", "1"))
    change = lifecycle_rules.decide(PINAPP, msgspec.structs.replace(undone, status=status), asked("rollback", history=known))
    assert (images(change), change.to) == (["r/web:2"], name("2"))


def test_a_rollback_passes_over_a_former_one_that_never_ran_well() -> None:
    change = lifecycle_rules.decide(PINAPP, updating(), asked("rollback", history=history("3", "2", "1", good=("1",))))
    assert change.to == name("1")


def test_a_rollback_passes_over_a_former_one_whose_last_update_failed_unless_it_is_forced() -> None:
    """The gateway never chooses a revision that it refuses then."""
    newest, *older = history("2", "1", good=("2", "1"))
    known = (replace(newest, failure="no image r/web:2"), *older)
    assert lifecycle_rules.decide(PINAPP, updating(), asked("rollback", history=known)).to == name("1")
    assert lifecycle_rules.decide(PINAPP, updating(), asked("rollback", history=known, force=True)).to == name("2")
    with pytest.raises(Problem, match="is known to have run well") as refused:
        lifecycle_rules.decide(PINAPP, updating(), asked("rollback", history=known[:1]))
    assert f"name one of {name('2')} and force the rollback" in refused.value.remedy


def test_without_the_history_it_is_the_one_before_and_says_so() -> None:
    unjudged = tuple(RollbackRevision(name(tag), template(tag), NOW, ran_well=None) for tag in ("2", "1"))
    change = lifecycle_rules.decide(PINAPP, updating(), asked("rollback", history=unjudged))
    assert (change.to, images(change)) == (name("2"), ["r/web:2"])
    assert "whether that ran well is not known now" in change.outcome


def test_what_ran_well_counts_more_than_what_nobody_can_judge() -> None:
    known = (RollbackRevision(name("2"), template("2"), NOW, ran_well=None), *history("1", good=("1",)))
    assert lifecycle_rules.decide(PINAPP, updating(), asked("rollback", history=known)).to == name("1")


def test_before_the_update_was_taken_up_the_former_revision_may_not_be_kept_yet() -> None:
    older = (RollbackRevision(name("1"), template("1"), NOW, ran_well=None),)
    with pytest.raises(Problem, match="has not observed the last change"):
        lifecycle_rules.decide(PINAPP, updating(taken_up=False), asked("rollback", history=older))
    known = lifecycle_rules.decide(PINAPP, updating(taken_up=False), asked("rollback", history=history("3", "2", good=("2",))))
    assert known.to == name("2"), "the history knows it already"


def test_a_rollback_of_a_rollback_under_way_goes_forward_again() -> None:
    """The template it came from is the newest before the present one."""
    change = lifecycle_rules.decide(PINAPP, updating(), asked("rollback", history=history("3", "4", "2", good=("4", "2"))))
    assert change.to == name("4")


@pytest.mark.parametrize("verb", ["restart", "scale", "rollback"])
def test_nothing_of_it_reaches_a_paused_app(verb: str) -> None:
    more = {"replicas": 9} if verb == "scale" else {"history": history("3", "2", good=("2",))}
    with pytest.raises(Problem, match="is paused"):
        lifecycle_rules.decide(PINAPP, updating(paused=True), asked(verb, **more))
