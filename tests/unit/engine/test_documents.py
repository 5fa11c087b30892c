"""What is generated from cards and plans: sentences, RBAC, pages."""

from __future__ import annotations

import dataclasses

from pincompute.api.builtin import NODES, PODS
from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.api.shards import PINAPPSHARDS
from pincompute.api.workloads import PINAPPS
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.controller_docs import index, page
from pincompute.engine.error_classification import Outcome
from pincompute.engine.plan import (
    Apply,
    Confirm,
    ConfirmSet,
    Create,
    Delete,
    Evict,
    Failed,
    Plan,
    Ref,
    Replace,
    Scale,
    plan,
)
from pincompute.engine.plan_text import explain
from pincompute.engine.rbac import cluster_role
from pincompute.engine.reconciler import ReconcileResult
from pincompute.kube.cache_views import Unknown

CARD = Card(
    name="federation.example",
    promise="Keeps examples.",
    key="PinApp",
    reads=(ReadAccess("host", PINAPPS, own_key), ReadAccess("members", PINAPPSHARDS, own_key)),
    writes=(WriteAccess("host", PINAPPS, ("status",)), WriteAccess("members", PINAPPSHARDS, ("apply", "delete"))),
    coalesce=0.5,
)
APP = Ref(HOST, PINAPPS, Key("shop", "web"))
SHARD = Ref("a1", PINAPPSHARDS, Key("shop", "web"))
POD = Ref("a1", PODS, Key("shop", "web-0"))


def test_a_plan_tells_what_could_not_be_decided() -> None:
    told = explain(ReconcileResult(Outcome.SETTLED, Plan(independent=True, failed=(Failed(APP, "7", KeyError("spec")),))))
    assert "Nothing can be decided for PinApp shop/web in host: KeyError: 'spec'." in told


def test_rbac_allows_what_the_card_names_in_that_place_and_nothing_else() -> None:
    role = cluster_role("pincompute-federation", [CARD], "host")
    assert role["rules"] == [
        {"apiGroups": ["pincompute.io"], "resources": ["pinapps"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["pincompute.io"], "resources": ["pinapps/status"], "verbs": ["update"]},
    ]
    member = cluster_role("pincompute-federation", [CARD], "members")
    verbs = ["get", "list", "watch", "create", "patch", "delete"]
    assert member["rules"] == [{"apiGroups": ["pincompute.io"], "resources": ["pinappshards"], "verbs": verbs}]


def test_rbac_of_several_cards_is_their_union() -> None:
    other = dataclasses.replace(
        CARD, reads=(ReadAccess("host", NODES, own_key),), writes=(WriteAccess("host", PODS, ("create", "patch")),)
    )
    rules = cluster_role("both", [CARD, other], "host")["rules"]
    assert [(rule["resources"], rule["verbs"]) for rule in rules] == [
        (["nodes"], ["get", "list", "watch"]),
        (["pods"], ["create", "patch"]),
        (["pinapps"], ["get", "list", "watch"]),
        (["pinapps/status"], ["update"]),
    ]


def test_rbac_of_evictions_and_scales_stands_on_their_subresources() -> None:
    card = dataclasses.replace(
        CARD, reads=(), writes=(WriteAccess("host", PODS, ("evict",)), WriteAccess("host", PINAPPS, ("scale",)))
    )
    assert cluster_role("both", [card], "host")["rules"] == [
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": ["pincompute.io"], "resources": ["pinapps/scale"], "verbs": ["patch"]},
    ]


def test_a_page_says_promise_reads_writes_and_key() -> None:
    text = page(Controller(CARD, observe=lambda *_: None, decide=lambda _: Plan()))
    for part in (
        "# federation.example",
        "Keeps examples.",
        "one **PinApp** at a time",
        "| pinappshards.pincompute.io | every member |",
        "| pinapps.pincompute.io | host | status |",
        "| pinappshards.pincompute.io | every member | apply, delete |",
        "at least 0.5 s apart",
        "What is generated from cards and plans",  # this module's docstring
    ):
        assert part in text
    assert "| [federation.example](federation.example.md) | PinApp | Keeps examples. |" in index(
        [Controller(CARD, observe=lambda *_: None, decide=lambda _: Plan())]
    )


def test_a_plan_reads_as_sentences_with_reasons() -> None:
    wanted = plan(
        (Confirm(SHARD, "u1", 3), ConfirmSet("a1", PODS, "shop", "app", "web", frozenset({"x"}))),
        (Apply(SHARD, {"spec": {"zone": "a"}}, "zone a has room"),),
        (Create(SHARD, {}, "it is new"), Delete(SHARD, "u1", "it is empty")),
        (Evict(POD, "u", "its node is drained"), Scale(APP, 4, "u", "1", "the queue is long")),
        (Replace(APP, {"status": {}}, "u", "1", "3 of 3 are ready", "status"),),
        wake_after=30,
        why="Scaled from 2 to 3",
    )
    assert explain(ReconcileResult(Outcome.SETTLED, wanted)).splitlines() == [
        "Scaled from 2 to 3.",
        "1. at the same time:",
        "   - make sure that PinAppShard shop/web in a1 has not changed",
        "   - make sure that exactly 1 pods in a1 carry shop/app=web",
        "2. apply PinAppShard shop/web in a1: zone a has room",
        "3. at the same time:",
        "   - create PinAppShard shop/web in a1: it is new",
        "   - delete PinAppShard shop/web in a1: it is empty",
        "4. at the same time:",
        "   - evict Pod shop/web-0 in a1: its node is drained",
        "   - scale PinApp shop/web in host to 4: the queue is long",
        "5. write the status of PinApp shop/web in host: 3 of 3 are ready",
        "Reconciled again in 30 s, also without an event.",
    ]
    assert "       zone: a".replace(" ", "") in explain(ReconcileResult(Outcome.SETTLED, wanted), bodies=True).replace(" ", "")


def test_nothing_to_do_unknown_and_a_bug_are_told_apart() -> None:
    assert explain(ReconcileResult(Outcome.SETTLED, Plan(why="all 3 are ready"))) == "Nothing to do: all 3 are ready.\n"
    assert explain(ReconcileResult(Outcome.UNKNOWN, error=Unknown("pods of a1 are not synced"))) == (
        "Nothing is changed, because the world cannot be seen well enough: pods of a1 are not synced\n"
    )
    assert "KeyError: 'x'" in explain(ReconcileResult(Outcome.BUG, error=KeyError("x")))
