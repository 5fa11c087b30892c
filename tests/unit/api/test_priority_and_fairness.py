"""Shares of API servers as data: who belongs to which level, and that Kubernetes' own levels keep their precedence."""

from __future__ import annotations

from pincompute.api import priority_and_fairness
from pincompute.api.meta import Manifest

SERVICE_ACCOUNTS, EVERYBODY = 9000, 9900  # precedence of the schemas that Kubernetes has for these
CONTROLLERS = 800


def spec(kind: str, name: str) -> Manifest:
    (found,) = [m for m in priority_and_fairness.manifests() if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found["spec"]


def test_every_schema_names_a_level_that_exists() -> None:
    made = priority_and_fairness.manifests()
    levels = {m["metadata"]["name"] for m in made if m["kind"] == "PriorityLevelConfiguration"}
    for schema in (m["spec"] for m in made if m["kind"] == "FlowSchema"):
        assert schema["priorityLevelConfiguration"]["name"] in {*levels, priority_and_fairness.LEADER_ELECTION}


def test_the_platform_is_known_by_exact_names() -> None:
    schemas = [m["spec"] for m in priority_and_fairness.manifests() if m["kind"] == "FlowSchema"]
    subjects = [subject for schema in schemas for rule in schema["rules"] for subject in rule["subjects"]]
    accounts = {s["serviceAccount"]["name"] for s in subjects if s["kind"] == "ServiceAccount"}
    assert accounts == {f"pincompute-{name}" for name in ("federation", "operator", "gateway", "network", "usage")}
    assert {s["serviceAccount"]["namespace"] for s in subjects if s["kind"] == "ServiceAccount"} == {"pincompute-system"}


def test_strangers_come_last_wait_in_queues_of_their_own_and_borrow_nothing() -> None:
    strangers = spec("FlowSchema", priority_and_fairness.STRANGERS)
    level = spec("PriorityLevelConfiguration", priority_and_fairness.STRANGERS)["limited"]
    assert SERVICE_ACCOUNTS < strangers["matchingPrecedence"] < EVERYBODY
    assert strangers["distinguisherMethod"] == {"type": "ByUser"}
    assert level["limitResponse"]["type"] == "Queue"
    assert level["borrowingLimitPercent"] == 0


def test_the_platform_serves_projects_in_turn() -> None:
    for name in (priority_and_fairness.PLATFORM, priority_and_fairness.GATEWAY):
        schema = spec("FlowSchema", name)
        assert schema["distinguisherMethod"] == {"type": "ByNamespace"}
        assert schema["matchingPrecedence"] < CONTROLLERS
