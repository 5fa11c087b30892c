"""One action at a time against the in-memory API server: pins, proofs, ownership, lanes."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.api.builtin import NAMESPACES, PODDISRUPTIONBUDGETS, PODS
from pincompute.api.labels import HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.engine import executor
from pincompute.engine.controller import Card, ReadAccess, WriteAccess, own_key
from pincompute.engine.error_classification import ForeignError, Outcome, StaleView, UndeclaredAccessError, classify, of_stage
from pincompute.engine.plan import Action, Apply, Confirm, ConfirmSet, Create, Delete, Evict, Patch, Ref, Replace, Scale
from pincompute.kube import api_errors
from pincompute.testing.apiserver.disruption_controller import update_budgets
from pincompute.testing.laws.simulated_clusters import SimulatedViews, SimulatedWriter, in_order
from pincompute.testing.laws.simulated_world import SimulatedWorld
from pincompute.testing.laws.simulation import finish

WIDGETS = Resource("example.org", "v1", "Widget", "widgets", True, Object)
GADGETS = Resource("example.org", "v1", "Gadget", "gadgets", True, Object)
CARD = Card(
    name="test.widgets",
    promise="Tests.",
    key="Widget",
    reads=(ReadAccess("host", WIDGETS, own_key), ReadAccess("host", PODS, own_key), ReadAccess("members", PODS, own_key)),
    writes=(
        WriteAccess("host", WIDGETS, ("create", "apply", "patch", "status", "delete", "scale", "evict")),
        WriteAccess("host", PODS, ("evict",)),
    ),
)
KEY = Key("shop", "one")
REF = Ref(HOST, WIDGETS, KEY)
POD = Ref(HOST, PODS, KEY)
OURS = {"metadata": {"labels": {MANAGED_BY: PINCOMPUTE}}}


@pytest.fixture
def world() -> SimulatedWorld:
    made = SimulatedWorld((HOST, "a1"), (WIDGETS, GADGETS))
    made.make(HOST, NAMESPACES, {"metadata": {"name": "shop"}})
    return made


def do(world: SimulatedWorld, action: Action, card: Card = CARD, *, unsynced: bool = False) -> None:
    clusters = {HOST: HOST, "a1": "a1"}
    views = SimulatedViews(world, clusters, card, {}, None, in_order)
    if unsynced:
        world.unsynced.add((HOST, WIDGETS))
    finish(executor.perform(action, card, views, SimulatedWriter(world, HOST, {}, lambda _record: None)))


def there(world: SimulatedWorld, key: Key = KEY) -> Manifest:
    return world.stores[HOST].get(WIDGETS, key)


def body(**spec: Any) -> Manifest:
    return {**OURS, "spec": spec}


def make(world: SimulatedWorld, *, ours: bool = True, **spec: Any) -> Manifest:
    labels = {MANAGED_BY: PINCOMPUTE} if ours else {}
    world.make(HOST, WIDGETS, {"metadata": {"name": "one", "namespace": "shop", "labels": labels}, "spec": spec})
    return there(world)["metadata"]


def test_create_puts_name_and_kind_on_the_body_and_a_taken_name_is_a_conflict(world: SimulatedWorld) -> None:
    do(world, Create(REF, body(size=1), "why"))
    assert there(world)["spec"] == {"size": 1}
    with pytest.raises(api_errors.AlreadyExists) as raised:
        do(world, Create(REF, body(size=1), "why"))
    assert classify(raised.value) is Outcome.CONFLICT


@pytest.mark.parametrize("unsynced", [False, True])
def test_apply_creates_then_changes_then_writes_nothing(world: SimulatedWorld, unsynced: bool) -> None:
    do(world, Apply(REF, body(size=1), "why"), unsynced=unsynced)
    do(world, Apply(REF, body(size=2), "why"), unsynced=unsynced)
    before = world.version(HOST)
    do(world, Apply(REF, body(size=2), "why"), unsynced=unsynced)
    assert there(world)["spec"] == {"size": 2}
    assert there(world)["metadata"]["managedFields"][0]["manager"] == "test.widgets"
    assert world.version(HOST) == before


@pytest.mark.parametrize("unsynced", [False, True])
def test_s002_a_foreign_object_is_not_taken_over_even_when_the_cache_does_not_show_it(
    world: SimulatedWorld, unsynced: bool
) -> None:
    make(world, ours=False, size=9)
    with pytest.raises(ForeignError, match=r"Widget shop/one in host exists without the label .*managed-by") as raised:
        do(world, Apply(REF, body(size=1), "why"), unsynced=unsynced)
    assert classify(raised.value) is Outcome.REFUSED
    assert there(world)["spec"] == {"size": 9}


@pytest.mark.parametrize("unsynced", [False, True])
def test_an_object_of_a_reserved_name_that_lost_its_label_is_taken_back(world: SimulatedWorld, unsynced: bool) -> None:
    make(world, ours=False, size=9)
    do(world, Apply(REF, body(size=1), "why", reserved=True), unsynced=unsynced)
    assert there(world)["spec"] == {"size": 1}
    assert executor.is_marked(there(world))


def test_s002_a_foreign_object_is_not_deleted(world: SimulatedWorld) -> None:
    uid = make(world, ours=False)["uid"]
    with pytest.raises(ForeignError):
        do(world, Delete(REF, uid, "why"))
    assert there(world)


def test_an_apply_with_a_uid_wants_that_very_object(world: SimulatedWorld) -> None:
    with pytest.raises(StaleView, match=r"has uid \(none\), not gone"):
        do(world, Apply(REF, body(size=1), "why", "gone"))
    uid = make(world)["uid"]
    with pytest.raises(StaleView):
        do(world, Apply(REF, body(size=1), "why", "another"))
    do(world, Apply(REF, body(size=3), "why", uid))
    assert there(world)["spec"] == {"size": 3}


def test_an_apply_without_a_uid_is_pinned_to_the_object_that_was_seen_to_be_ours(world: SimulatedWorld) -> None:
    """Between the observation and the write the object is replaced by somebody else's of the same name."""
    make(world)
    seen = world.objects(HOST, WIDGETS)[KEY]
    world.remove(HOST, WIDGETS, KEY)
    make(world, ours=False, size=9)
    frozen = SimulatedViews(world, {HOST: HOST}, CARD, {}, None, in_order)
    world.objects(HOST, WIDGETS)[KEY] = seen
    with pytest.raises(api_errors.Conflict):
        finish(
            executor.perform(Apply(REF, body(size=1), "why"), CARD, frozen, SimulatedWriter(world, HOST, {}, lambda _s: None))
        )
    assert there(world)["spec"] == {"size": 9}


def test_a_patch_is_pinned_to_uid_and_version_and_one_of_what_is_gone_means_look_again(world: SimulatedWorld) -> None:
    meta = make(world, size=1)
    patch = Patch(REF, {"spec": {"size": 2}}, meta["uid"], meta["resourceVersion"], "why")
    do(world, patch)
    with pytest.raises(api_errors.Conflict):
        do(world, patch)
    world.remove(HOST, WIDGETS, KEY)
    with pytest.raises(StaleView, match="is gone") as raised:
        do(world, patch)
    assert classify(raised.value) is Outcome.CONFLICT


def test_a_status_patch_goes_through_the_status_subresource(world: SimulatedWorld) -> None:
    meta = make(world, size=1)
    patch = {"spec": {"size": 7}, "status": {"ready": True}}
    do(world, Replace(REF, patch, meta["uid"], meta["resourceVersion"], "why", "status"))
    assert (there(world)["spec"], there(world)["status"]) == ({"size": 1}, {"ready": True})


def test_gone_already_is_success_for_a_delete_and_a_namesake_is_a_conflict(world: SimulatedWorld) -> None:
    uid = make(world)["uid"]
    do(world, Delete(REF, uid, "why"))
    do(world, Delete(REF, uid, "why"))
    make(world)
    with pytest.raises(api_errors.Conflict):
        do(world, Delete(REF, uid, "why"))
    assert there(world)


def test_a_delete_may_be_pinned_to_a_version_too(world: SimulatedWorld) -> None:
    meta = make(world, size=1)
    world.edit(HOST, WIDGETS, KEY, {"spec": {"size": 2}})
    with pytest.raises(api_errors.Conflict):
        do(world, Delete(REF, meta["uid"], "why", meta["resourceVersion"]))


def make_pod(world: SimulatedWorld, *, ours: bool = True, guarded_by: int | None = None) -> Manifest:
    """A ready pod on a node, and a budget that wants so many ready."""
    marks = {MANAGED_BY: PINCOMPUTE} if ours else {}
    names = {"name": "one", "namespace": "shop"}
    world.make(HOST, PODS, {"metadata": {**names, "labels": {"app": "web", **marks}}, "spec": {"nodeName": "n"}})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    world.edit(HOST, PODS, KEY, {"status": ready}, "status")
    if guarded_by is not None:
        spec = {"minAvailable": guarded_by, "selector": {"matchLabels": {"app": "web"}}}
        world.make(HOST, PODDISRUPTIONBUDGETS, {"metadata": names, "spec": spec})
        update_budgets(world.stores[HOST])
    return world.stores[HOST].get(PODS, KEY)["metadata"]


def test_an_eviction_ends_a_pod_and_gone_already_is_success(world: SimulatedWorld) -> None:
    meta = make_pod(world)
    do(world, Evict(POD, meta["uid"], "why"))
    assert world.objects(HOST, PODS)[KEY].deleting
    world.stores[HOST].delete(PODS, KEY, grace_seconds=0)
    do(world, Evict(POD, meta["uid"], "why"))
    make_pod(world)
    with pytest.raises(api_errors.Conflict):
        do(world, Evict(POD, meta["uid"], "why"))


def test_an_eviction_that_its_budget_does_not_allow_is_blocked_until_it_does(world: SimulatedWorld) -> None:
    meta = make_pod(world, guarded_by=1)
    with pytest.raises(api_errors.Blocked, match="disruption budget") as raised:
        do(world, Evict(POD, meta["uid"], "why"))
    assert classify(raised.value) is Outcome.BLOCKED
    assert not world.objects(HOST, PODS)[KEY].deleting
    world.edit(HOST, PODDISRUPTIONBUDGETS, KEY, {"spec": {"minAvailable": 0}})
    with pytest.raises(api_errors.Blocked):  # its status is older than its spec
        do(world, Evict(POD, meta["uid"], "why"))
    update_budgets(world.stores[HOST])
    do(world, Evict(POD, meta["uid"], "why"))
    assert world.objects(HOST, PODS)[KEY].deleting
    assert world.objects(HOST, PODDISRUPTIONBUDGETS)[KEY].status.disruptions_allowed == 0


def test_an_eviction_may_be_pinned_to_a_version_too(world: SimulatedWorld) -> None:
    meta = make_pod(world)
    world.edit(HOST, PODS, KEY, {"metadata": {"labels": {"changed": "yes"}}})
    with pytest.raises(api_errors.Conflict):
        do(world, Evict(POD, meta["uid"], "why", meta["resourceVersion"]))
    assert not world.objects(HOST, PODS)[KEY].deleting


def test_s002_a_foreign_pod_is_not_evicted(world: SimulatedWorld) -> None:
    uid = make_pod(world, ours=False)["uid"]
    with pytest.raises(ForeignError, match="is left alone"):
        do(world, Evict(POD, uid, "why"))
    assert not world.objects(HOST, PODS)[KEY].deleting


def test_a_scale_sets_the_replicas_through_its_subresource_and_is_pinned(world: SimulatedWorld) -> None:
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    world.stores[HOST].register(WIDGETS, scale=paths)
    meta = make(world, replicas=1, size=1)
    scale = Scale(REF, 4, meta["uid"], meta["resourceVersion"], "why")
    do(world, scale)
    assert there(world)["spec"] == {"replicas": 4, "size": 1}
    with pytest.raises(api_errors.Conflict):
        do(world, scale)
    world.remove(HOST, WIDGETS, KEY)
    with pytest.raises(StaleView, match="is gone"):
        do(world, scale)


def test_f5_confirm_asks_the_server_for_uid_generation_and_absence(world: SimulatedWorld) -> None:
    do(world, Confirm(REF, ""))
    meta = make(world, size=1)
    with pytest.raises(StaleView):
        do(world, Confirm(REF, ""))
    do(world, Confirm(REF, meta["uid"], 1))
    world.edit(HOST, WIDGETS, KEY, {"spec": {"size": 2}})
    with pytest.raises(StaleView, match="is at generation 2, not 1"):
        do(world, Confirm(REF, meta["uid"], 1))
    do(world, Confirm(REF, meta["uid"]))
    with pytest.raises(StaleView):
        do(world, Confirm(REF, "another"))


def test_f5_confirm_set_wants_exactly_these(world: SimulatedWorld) -> None:
    uid = make(world)["uid"]

    def ask(*uids: str) -> None:
        do(world, ConfirmSet(HOST, WIDGETS, "shop", MANAGED_BY, PINCOMPUTE, frozenset(uids)))

    ask(uid)
    for wrong in ((), (uid, "another"), ("another",)):
        with pytest.raises(StaleView):
            ask(*wrong)


LANES: dict[str, tuple[Action, str]] = {
    "a kind that is not on the card": (
        Create(Ref(HOST, GADGETS, KEY), OURS, ""),
        r"may not create gadgets\.example\.org in host",
    ),
    "a place that is not on the card": (Create(Ref("a1", WIDGETS, KEY), OURS, ""), "in members"),
    "a verb that is not on the card": (Delete(Ref("a1", PODS, KEY), "u", ""), "may not delete pods in members"),
    "a question about what is not on the card": (Confirm(Ref(HOST, GADGETS, KEY), "u"), "asks about gadgets"),
    "an unmarked child": (Create(REF, {"spec": {}}, ""), "without the label"),
    "an apply that would drop the mark": (Apply(REF, {"spec": {}}, ""), "without the label"),
    "a patch that pins nothing": (Patch(REF, {}, "u", "", ""), "without the uid and version"),
    "a delete without a uid": (Delete(REF, "", ""), "without its uid"),
    "an eviction without a uid": (Evict(POD, "", ""), "without its uid"),
    "an eviction of what is no pod": (Evict(REF, "u", ""), "only pods can be evicted"),
    "an eviction that is not on the card": (Evict(Ref("a1", PODS, KEY), "u", ""), "may not evict pods in members"),
    "a resize that is not on the card": (
        Patch(Ref("a1", PODS, KEY), {}, "u", "1", "", "resize"),
        "may not resize pods in members",
    ),
    "a scale that pins nothing": (Scale(REF, 1, "u", "", ""), "without the uid and version"),
}


@pytest.mark.parametrize("case", LANES)
def test_the_engine_refuses(world: SimulatedWorld, case: str) -> None:
    action, message = LANES[case]
    before = world.version(HOST)
    with pytest.raises(UndeclaredAccessError, match=message) as raised:
        do(world, action)
    assert classify(raised.value) is Outcome.BUG
    assert world.version(HOST) == before


def refusal(code: int, reason: str = "", cause: str = "", message: str = "no") -> api_errors.Refused:
    details = api_errors.StatusDetails(causes=(api_errors.StatusCause(reason=cause),)) if cause else None
    status = api_errors.ApiStatus("Failure", code, reason, message, details)
    return api_errors.of_status(api_errors.RequestInfo("host", "PATCH", "/"), status, code)


MEANINGS: dict[str, tuple[Exception, Outcome]] = {
    "a conflict": (refusal(409, "Conflict"), Outcome.CONFLICT),
    "a name that is taken": (refusal(409, "AlreadyExists"), Outcome.CONFLICT),
    "no answer": (api_errors.Unreachable(api_errors.RequestInfo("a1", "GET", "/"), "timed out"), Outcome.TRANSIENT),
    "our own deadline": (TimeoutError(), Outcome.TRANSIENT),
    "an overloaded server": (refusal(429), Outcome.TRANSIENT),
    "a disruption budget": (refusal(429, "TooManyRequests", "DisruptionBudget"), Outcome.BLOCKED),
    "a failing server": (refusal(503), Outcome.TRANSIENT),
    "expired credentials": (refusal(401), Outcome.TRANSIENT),
    "a namespace that is not there yet": (refusal(404), Outcome.TRANSIENT),
    "a namespace that ends": (refusal(403, "Forbidden", "NamespaceTerminating"), Outcome.TRANSIENT),
    "a quota that is not counted yet": (
        refusal(403, "Forbidden", message="status unknown for quota: pincompute-pods, resources: pods"),
        Outcome.TRANSIENT,
    ),
    "admission that is not ready yet": (
        refusal(403, "Forbidden", message='namespaces "demo" is forbidden: not yet ready to handle request'),
        Outcome.TRANSIENT,
    ),
    "a quota that is used up": (refusal(403, "Forbidden", message="exceeded quota: pincompute-pods"), Outcome.REFUSED),
    "no right": (refusal(403, "Forbidden"), Outcome.REFUSED),
    "an invalid object": (refusal(422, "Invalid"), Outcome.REFUSED),
    "a bad request": (refusal(400, "BadRequest"), Outcome.REFUSED),
    "anything else": (KeyError("x"), Outcome.BUG),
}


@pytest.mark.parametrize("case", MEANINGS)
def test_what_an_error_means(case: str) -> None:
    error, outcome = MEANINGS[case]
    assert classify(error) is outcome


def test_of_several_failures_the_soonest_look_wins_but_a_bug_wins_over_all() -> None:
    assert of_stage([Outcome.ACTED, Outcome.ACTED]) is Outcome.ACTED
    assert of_stage([Outcome.ACTED, Outcome.REFUSED, Outcome.TRANSIENT]) is Outcome.TRANSIENT
    assert of_stage([Outcome.CONFLICT, Outcome.REFUSED]) is Outcome.CONFLICT
    assert of_stage([Outcome.REFUSED, Outcome.BLOCKED, Outcome.ACTED]) is Outcome.BLOCKED
    assert of_stage([Outcome.BUG, Outcome.FENCED, Outcome.TRANSIENT]) is Outcome.BUG
