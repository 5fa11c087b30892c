"""From objects to records: what is new is recorded, what is known is not, and times are the objects' own."""

from __future__ import annotations

import pytest
from history_samples import NOW, OF_HELLO, after, app, done, pod, scheduling, terminated

from pincompute.api import builtin, template_hash
from pincompute.api.builtin import ContainerStatus
from pincompute.api.conditions import Condition
from pincompute.api.meta import ObjectMeta
from pincompute.api.settings import PinSecret, PinSecretSpec, SettingVersion
from pincompute.api.workloads import RolloutStatus
from pincompute.domain import operation_annotation
from pincompute.gateway.history import record_extraction
from pincompute.gateway.history.record_extraction import KnownState, Observation
from pincompute.gateway.settings_in_use import set_by
from pincompute.store.records import DecisionRecord, ExitRecord, OperationRecord, RevisionRecord, StateRecord

LIVE = Observation(after(500), live=True)
CAME = Observation(after(500), live=False)


def told(obj: object, known: KnownState, observation: Observation = LIVE) -> tuple[dict[type, object], KnownState]:
    found, then = record_extraction.workload_records("PinApp", obj, known, observation)  # type: ignore[arg-type]
    return {type(record): record for record in found}, then


def test_a_new_app_has_a_first_revision_at_its_creation() -> None:
    found, known = told(app(), KnownState())
    first = found[RevisionRecord]
    assert isinstance(first, RevisionRecord)
    assert (first.at, first.generation, first.spec["replicas"], first.uid) == (NOW, 1, 3, "uid-hello")
    assert first.revision == template_hash.revision(first.spec["template"])
    assert list(found) == [RevisionRecord]
    assert told(app(), known) == ({}, known), "the same again is no change"


def test_a_revision_has_the_name_that_the_platform_gives_it() -> None:
    """It may hold versions of secrets, which the template of its author does not name."""
    written, known = told(app(), KnownState())
    named, later = told(app(revision="v9secret", observed_generation=1), known)
    before, after = written[RevisionRecord], named[RevisionRecord]
    assert isinstance(before, RevisionRecord)
    assert isinstance(after, RevisionRecord)
    assert (after.revision, after.observed, before.observed) == ("v9secret", True, False)
    assert (after.key, after.rank > before.rank) == (before.key, True)
    assert told(app(revision="v9secret", observed_generation=1), later)[0] == {}
    assert told(app(revision=before.revision, observed_generation=1), known)[0] == {}, "it has the name already"
    rolled, _ = told(app(revision="v9other", observed_generation=1), later)
    third = rolled[RevisionRecord]
    assert isinstance(third, RevisionRecord)
    assert (third.revision, third.rolled, third.key != after.key) == ("v9other", True, True)
    assert told(app(2, revision="v9secret", observed_generation=1), later)[0][RevisionRecord].observed is False  # type: ignore[attr-defined]


def test_a_revision_that_a_secret_made_is_by_who_put_the_version_in_use() -> None:
    one = Observation(after(500), live=True, settings={"version 1 of secret db": "ann", "version 4 of config c": "eve"})
    two = Observation(after(600), live=True, settings={"version 2 of secret db": "bob", "version 4 of config c": "eve"})
    _, known = told(app(), KnownState(), one)
    _, known = told(app(revision="v9first", observed_generation=1), known, one)
    found, _ = told(app(revision="v9second", observed_generation=1), known, two)
    made = found[RevisionRecord]
    assert isinstance(made, RevisionRecord)
    assert (made.rolled, made.author, made.settings) == (True, "bob", tuple(two.settings))


def test_who_set_an_earlier_version_has_not_put_it_in_use() -> None:
    versions = tuple(SettingVersion(number=n, time=NOW, author=by) for n, by in ((1, "ann"), (2, "bob")))
    secret = PinSecret(metadata=ObjectMeta(name="db"), spec=PinSecretSpec(versions=versions))
    assert [set_by(secret, number) for number in (1, 2, 3)] == ["", "bob", ""]


def test_a_state_comes_after_the_revision_that_reached_it_at_once() -> None:
    """Else it would be the former revision that ran well, and a rollback would bring back what had failed."""
    _, known = told(app(revision="v2", observed_generation=1, phase="Degraded"), KnownState())
    found, _ = told(app(revision="v1", observed_generation=1, phase="Running", last_update_time=after(400)), known)
    revision, state = found[RevisionRecord], found[StateRecord]
    assert isinstance(revision, RevisionRecord)
    assert isinstance(state, StateRecord)
    assert (revision.revision, state.after, state.at >= revision.at) == ("v1", "Running", True)


NOT_OF_THE_SPEC: dict[str, dict[str, object]] = {
    "an update that is undone": {"rollout": RolloutStatus(revision="v3", stable="v2", state="RollingBack")},
    "one that was undone": {"rollout": RolloutStatus(revision="v3", stable="v2", state="RolledBack")},
    "a paused app": {"paused": True},
}


@pytest.mark.parametrize("case", NOT_OF_THE_SPEC)
def test_what_runs_in_place_of_the_spec_gives_the_spec_no_name(case: str) -> None:
    """Else a rollback to the revision that served would deploy the template that failed."""
    _, known = told(app(revision="v3", observed_generation=1), KnownState())
    found, _ = told(app(revision="v2", observed_generation=1, **NOT_OF_THE_SPEC[case]), known)
    assert RevisionRecord not in found


def test_a_change_by_the_gateway_has_its_author_reason_and_request() -> None:
    found, known = told(app(2, done=done(generation=2), replicas=6), KnownState(generation=1))
    made, by = found[RevisionRecord], found[OperationRecord]
    assert isinstance(made, RevisionRecord)
    assert isinstance(by, OperationRecord)
    assert (made.author, made.reason, made.at) == ("alice", "load test", after(5))
    assert (by.request_id, by.generation, by.verb) == ("r1", 2, "scale")
    assert told(app(2, done=done(generation=2), replicas=6), known)[0] == {}


def test_a_change_past_the_gateway_has_no_author_although_an_old_one_still_stands_on_the_object() -> None:
    _, known = told(app(2, done=done(generation=2)), KnownState(generation=1))
    found, _ = told(app(3, done=done(generation=2), replicas=9), known)
    assert list(found) == [RevisionRecord]
    assert found[RevisionRecord].author == ""  # type: ignore[attr-defined]


AUTHORS = {
    "who wrote it outside the gateway": (app(3, changed_by="3 bob the builder"), "bob the builder", 0),
    "not who wrote an earlier one": (app(3, changed_by="2 bob"), "", 0),
    "the gateway's caller after somebody else": (app(3, changed_by="2 bob", done=done(generation=3)), "alice", 3),
    "somebody else after the gateway's caller": (app(3, changed_by="3 bob", done=done(generation=2)), "bob", 2),
    "not a note that claims another's change": (app(3, changed_by="3 bob", done=done(generation=3)), "bob", 0),
    "nobody when the annotation is not the policy's": (app(3, changed_by="bob"), "", 0),
}


@pytest.mark.parametrize("case", AUTHORS)
def test_the_author_of_a_change_is(case: str) -> None:
    """The admission policy writes the generation and the author of each change that is not the platform's."""
    obj, author, generation = AUTHORS[case]
    found, _ = told(obj, KnownState(generation=1))
    assert found[RevisionRecord].author == author  # type: ignore[attr-defined]
    assert operation_annotation.author(obj) == author, "as `pin status -o json` shows it"
    if OperationRecord in found:
        assert found[OperationRecord].generation == generation  # type: ignore[attr-defined]


def test_a_change_past_the_gateway_after_an_unseen_one_through_it_is_not_taken_for_it() -> None:
    found, _ = told(app(5, done=done(generation=4)), KnownState(generation=2), CAME)
    assert found[RevisionRecord].author == ""  # type: ignore[attr-defined]
    assert found[OperationRecord].generation == 4  # type: ignore[attr-defined]


def test_every_operation_that_came_while_nobody_looked_is_told_in_its_order() -> None:
    """SPEC #22: a gateway that died before it told of one, and again before the next, loses neither."""
    first, second, third = (done(verb, request=verb, generation=at) for at, verb in enumerate(("stop", "start", "scale"), 2))
    _, known = told(app(2, done=first), KnownState(generation=1))
    found, known = record_extraction.workload_records("PinApp", app(4, done=third, before=(second, first)), known, LIVE)
    assert [(r.verb, r.generation) for r in found if isinstance(r, OperationRecord)] == [("start", 3), ("scale", 4)]
    assert record_extraction.workload_records("PinApp", app(4, done=third, before=(second, first)), known, LIVE)[0] == ()


def test_a_change_that_changed_nothing_claims_no_generation() -> None:
    """A field that was unset became its default again."""
    found, _ = told(app(2, done=done(generation=3)), KnownState(generation=2))
    assert found[OperationRecord].generation == 0  # type: ignore[attr-defined]


def test_an_operation_on_one_replica_makes_no_revision() -> None:
    found, _ = told(app(1, done=done("restart", on="hello-a1-0")), KnownState(generation=1))
    assert list(found) == [OperationRecord]
    assert found[OperationRecord].detail == "hello-a1-0"  # type: ignore[attr-defined]


def test_a_deletion_counts_the_generation_up_and_is_no_revision() -> None:
    from msgspec.structs import replace

    obj = app(2)
    leaving = replace(obj, metadata=replace(obj.metadata, deletion_timestamp=NOW))
    assert told(leaving, KnownState(generation=1))[0] == {}
    assert list(told(leaving, KnownState())[0]) == [RevisionRecord], "but what it was must be known at least once"


def test_a_decision_is_recorded_once_and_again_when_it_changes() -> None:
    found, known = told(app(scheduling=scheduling(a1=3)), KnownState(generation=1))
    assert list(found) == [DecisionRecord]
    assert told(app(scheduling=scheduling(a1=3), ready_replicas=2), known)[0] == {}
    assert list(told(app(scheduling=scheduling(a1=2, b1=1)), known)[0]) == [DecisionRecord]


def test_what_was_decided_before_we_came_has_the_time_the_object_tells() -> None:
    found, _ = told(app(scheduling=scheduling(a1=3)), KnownState(generation=1), CAME)
    assert found[DecisionRecord].at == after(60)  # type: ignore[attr-defined]


def test_a_change_that_nobody_answered_yet_happened_just_now_for_all_we_know() -> None:
    """The status tells of the time before it."""
    for made, at in ((1, after(500)), (2, after(60))):
        found, _ = told(app(2, scheduling=scheduling(made)), KnownState(generation=1), CAME)
        assert found[RevisionRecord].at == at  # type: ignore[attr-defined]


def test_a_phase_is_recorded_when_it_changes_at_the_time_of_the_status() -> None:
    found, known = told(app(phase="Degraded", message="why"), KnownState(generation=1, phase="Running"))
    assert found == {StateRecord: StateRecord(**OF_HELLO, at=after(60), before="Running", after="Degraded", message="why")}
    assert told(app(phase="Degraded", message="other"), known)[0] == {}
    assert told(app(phase=""), known)[1].phase == "Degraded", "a status that is not written yet ends nothing"


EXITS = {
    "a container that was killed for its memory": (
        pod(ContainerStatus(name="web", restart_count=4, last_state=terminated())),
        [("web", 137, "OOMKilled", "32Mi", False)],
    ),
    "one that is down now and was down before": (
        pod(ContainerStatus(name="web", state=terminated(1, 200, "Error"), last_state=terminated())),
        [("web", 137, "OOMKilled", "32Mi", False), ("web", 1, "Error", "32Mi", False)],
    ),
    "one that still ran when its time to end was over": (
        pod(ContainerStatus(name="web", state=terminated(137, 90, "Error")), deleting=True),
        [("web", 137, "GracePeriodExceeded", "32Mi", True)],
    ),
    "one that was killed before its time was over": (
        pod(ContainerStatus(name="web", state=terminated(137, 89, "Error")), deleting=True),
        [("web", 137, "Error", "32Mi", True)],
    ),
    "one that was killed for its memory while it ended": (
        pod(ContainerStatus(name="web", state=terminated(137, 95)), deleting=True),
        [("web", 137, "OOMKilled", "32Mi", True)],
    ),
    "one that was asked to end": (
        pod(ContainerStatus(name="web", state=terminated(143, 95, "Error")), deleting=True),
        [("web", 143, "Error", "32Mi", True)],
    ),
    "an init container that failed": (
        pod(initial=(ContainerStatus(name="init", state=terminated(2, 1, "Error")),)),
        [("init", 2, "Error", "", False)],
    ),
    "an init container that did its work is no event": (
        pod(initial=(ContainerStatus(name="init", state=terminated(0, 1, "Completed")),)),
        [],
    ),
    "a pod that was evicted": (
        pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
        [("", 0, "Evicted", "", False)],
    ),
    "a container that an update in place ended": (
        pod(
            ContainerStatus(name="web", last_state=terminated(0, reason="Completed", container_id="containerd://old")),
            in_place='{"web": {"id": "containerd://old", "image": "r/hello:1"}}',
        ),
        [("web", 0, "Completed", "32Mi", True)],
    ),
    "a container that ended by itself after an update in place": (
        pod(
            ContainerStatus(name="web", last_state=terminated(0, reason="Completed", container_id="containerd://new")),
            in_place='{"web": {"id": "containerd://old", "image": "r/hello:1"}}',
        ),
        [("web", 0, "Completed", "32Mi", False)],
    ),
    "a pod that runs": (pod(ContainerStatus(name="web", ready=True), phase="Running"), []),
}


@pytest.mark.parametrize("case", EXITS)
def test_exits(case: str) -> None:
    seen, want = EXITS[case]
    owner = record_extraction.pod_owner(seen)
    assert owner is not None
    found = list(record_extraction.exit_records("b1", seen, owner))
    assert [(e.container, e.code, e.reason, e.memory_limit, e.expected) for e in found] == want
    assert all((e.uid, e.name, e.zone, e.cluster) == ("uid-hello", "hello", "b", "b1") for e in found)


def test_an_exit_is_the_same_record_while_it_moves_from_present_to_past() -> None:
    now = pod(ContainerStatus(name="web", restart_count=0, state=terminated()))
    then = pod(ContainerStatus(name="web", restart_count=1, last_state=terminated()))
    owner = record_extraction.pod_owner(now)
    assert owner is not None
    keys = [[e.key for e in record_extraction.exit_records("b1", seen, owner)] for seen in (now, then)]
    assert keys[0] == keys[1] != []


def test_an_evicted_pod_fell_when_it_stopped_being_ready() -> None:
    fell = Condition(type="Ready", status="False", last_transition_time=after(7))
    seen = pod(phase="Failed", reason="Evicted", conditions=(fell,))
    owner = record_extraction.pod_owner(seen)
    assert owner is not None
    (found,) = record_extraction.exit_records("b1", seen, owner)
    assert isinstance(found, ExitRecord)
    assert found.at == after(7)


def kube_event(**changes: object) -> builtin.Event:
    meta = ObjectMeta(name="e", namespace="demo", uid="e1", creation_timestamp=NOW)
    about = builtin.ObjectReference(kind="Pod", namespace="demo", name="hello-b1-0", uid="p1")
    return builtin.Event(metadata=meta, **{"involved_object": about, "reason": "Killing", "type": "Warning", **changes})  # type: ignore[arg-type]


TIMES = {
    "as kubelet writes them": (
        {"count": 4, "first_timestamp": after(1), "last_timestamp": after(9)},
        (4, after(1), after(9)),
    ),
    "as kube-scheduler writes them": (
        {"event_time": after(2), "series": builtin.EventSeries(count=3, last_observed_time=after(8))},
        (3, after(2), after(8)),
    ),
    "with nothing but its creation": ({}, (1, NOW, NOW)),
    "with a last time before its first": (
        {"first_timestamp": after(5), "last_timestamp": after(1)},
        (1, after(5), after(5)),
    ),
}


@pytest.mark.parametrize("case", TIMES)
def test_counts_and_times_of_events(case: str) -> None:
    facts, want = TIMES[case]
    owner = record_extraction.pod_owner(pod())
    assert owner is not None
    found = record_extraction.event_record("b1", kube_event(**facts), owner)
    assert found is not None
    assert (found.count, found.at, found.last) == want
    assert (found.warning, found.about, found.object, found.name) == (True, "Pod", "hello-b1-0", "hello")


@pytest.mark.parametrize(
    ("part", "container"),
    [("spec.containers{web}", "web"), ("spec.initContainers{log}", "log"), ("", ""), ("spec.volumes{web}", "")],
)
def test_an_event_about_a_part_of_a_pod_names_the_container(part: str, container: str) -> None:
    owner = record_extraction.pod_owner(pod())
    assert owner is not None
    about = builtin.ObjectReference(kind="Pod", namespace="demo", name="hello-b1-0", uid="p1", field_path=part)
    found = record_extraction.event_record("b1", kube_event(first_timestamp=NOW, involved_object=about), owner)
    assert found is not None
    assert found.container == container
