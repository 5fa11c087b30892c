"""A project's namespace has the platform's labels in every cluster, whoever changes them (M-97)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pincompute.api.builtin import Namespace
from pincompute.api.labels import HOST, MANAGED_BY, PINCOMPUTE, PROJECT
from pincompute.api.meta import ObjectMeta
from pincompute.api.projects import PodSecurity, Project, ProjectSpec
from pincompute.domain import pod_security_defaults
from pincompute.engine.plan import Apply, Replace
from pincompute.federation.project import project_controller
from pincompute.federation.project.project_controller import ObservedProject

NOW = datetime(2026, 11, 1, tzinfo=UTC)
OURS = {MANAGED_BY: PINCOMPUTE, PROJECT: "shop"}
WHOLE = {**OURS, **pod_security_defaults.namespace_labels()}
ENFORCE = "pod-security.kubernetes.io/enforce"
NAMESPACES: dict[str, tuple[dict[str, str] | None, bool]] = {
    "missing": (None, True),
    "as it should be": (WHOLE, False),
    "with a label of somebody else": ({**WHOLE, "team": "web"}, False),
    "of a version without the standard": (OURS, True),
    "with the standard lowered": ({**WHOLE, ENFORCE: "privileged"}, True),
    "with another version of the standard": ({**WHOLE, f"{ENFORCE}-version": "v1.0"}, True),
    "of somebody else": ({"team": "web"}, False),
}


@pytest.mark.parametrize("case", NAMESPACES)
@pytest.mark.parametrize("cluster", [HOST, "a1"])
def test_the_namespace_is_brought_to_the_standard(case: str, cluster: str) -> None:
    labels, written = NAMESPACES[case]
    there = None if labels is None else Namespace(metadata=ObjectMeta(name="shop", labels=labels))
    made = project_controller.decide(ObservedProject(NOW, _project(), ((cluster, there),)))
    applied: list[Any] = [action for action in made.actions if isinstance(action, Apply)]
    assert [a.ref.cluster for a in applied] == [cluster] * written
    assert all(a.body["metadata"]["labels"] == WHOLE for a in applied)


LATER = "2026-11-02T00:00:00Z"  # a day after NOW
LEVELS: dict[str, tuple[dict[str, Any], str, float | None]] = {
    "not lowered": ({}, "restricted", None),
    "lowered for good": ({"level": "baseline"}, "baseline", None),
    "lowered until later": ({"level": "baseline", "until": LATER}, "baseline", 86_400.0),
    "privileged until later": ({"level": "privileged", "until": LATER}, "privileged", 86_400.0),
    "privileged until now": ({"level": "privileged", "until": "2026-11-01T00:00:00Z"}, "restricted", None),
    "privileged until a day that does not exist": (
        {"level": "privileged", "until": "2026-11-31T00:00:00Z"},
        "restricted",
        None,
    ),
    "restricted until later": ({"level": "restricted", "until": LATER}, "restricted", None),
}


@pytest.mark.parametrize("case", LEVELS)
def test_a_lowered_level_holds_until_its_end(case: str) -> None:
    security, level, wakes = LEVELS[case]
    project = _project(PodSecurity(**security))
    labels = {**OURS, ENFORCE: level, f"{ENFORCE}-version": "v1.36"}
    there = Namespace(metadata=ObjectMeta(name="shop", labels=labels))
    made = project_controller.decide(ObservedProject(NOW, project, ((HOST, there), ("a1", None))))
    assert made.wake_after == wakes
    (applied,) = [action for action in made.actions if isinstance(action, Apply)]
    assert (applied.ref.cluster, applied.body["metadata"]["labels"]) == ("a1", labels)
    (status,) = [action for action in made.actions if isinstance(action, Replace)]
    assert status.body["status"].get("podSecurity", "restricted") == level


def _project(security: PodSecurity = PodSecurity()) -> Project:  # noqa: B008 - it is frozen
    return Project(
        spec=ProjectSpec(pod_security=security), metadata=ObjectMeta(name="shop", uid="p", generation=1, resource_version="1")
    )
