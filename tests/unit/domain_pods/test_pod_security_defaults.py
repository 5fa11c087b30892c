"""What the Pod Security Standard requires is filled in where the user left it open; what they said stays."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.domain import pod_security_defaults

RESTRICTED = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
CLOSED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def spec(container: dict[str, Any] | None = None, **pod: Any) -> dict[str, Any]:
    return {"containers": [{"name": "web", "image": "i", **(container or {})}], **pod}


POD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing said": ({}, RESTRICTED),
    "null is nothing": ({"runAsNonRoot": None}, RESTRICTED),
    "root": ({"runAsNonRoot": False}, {**RESTRICTED, "runAsNonRoot": False}),
    "a profile": ({"seccompProfile": {"type": "Unconfined"}}, {**RESTRICTED, "seccompProfile": {"type": "Unconfined"}}),
    "something else": ({"fsGroup": 5}, {**RESTRICTED, "fsGroup": 5}),
}


@pytest.mark.parametrize("case", POD)
def test_the_pods_context(case: str) -> None:
    given, want = POD[case]
    assert pod_security_defaults.filled_spec(spec(securityContext=given))["securityContext"] == want


CONTAINER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing said": ({}, CLOSED),
    "escalation": ({"allowPrivilegeEscalation": True}, {**CLOSED, "allowPrivilegeEscalation": True}),
    "some capabilities": ({"capabilities": {"drop": ["NET_RAW"]}}, {**CLOSED, "capabilities": {"drop": ["NET_RAW"]}}),
    "a port below 1024": (
        {"capabilities": {"add": ["NET_BIND_SERVICE"]}},
        {**CLOSED, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
    ),
    "privileged, which Kubernetes takes with no word about escalation": (
        {"privileged": True},
        {"privileged": True, "capabilities": {"drop": ["ALL"]}},
    ),
    "SYS_ADMIN, likewise": (
        {"capabilities": {"add": ["SYS_ADMIN"]}},
        {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
    ),
}


@pytest.mark.parametrize("case", CONTAINER)
@pytest.mark.parametrize("where", ["containers", "initContainers"])
def test_a_containers_context(case: str, where: str) -> None:
    given, want = CONTAINER[case]
    made = pod_security_defaults.filled_spec({**spec(), where: [{"name": "x", "image": "i", "securityContext": given}]})
    assert made[where][0]["securityContext"] == want


def test_a_token_of_the_api_server_is_mounted_when_it_is_asked_for() -> None:
    assert pod_security_defaults.filled_spec(spec())["automountServiceAccountToken"] is False
    assert pod_security_defaults.filled_spec(spec(automountServiceAccountToken=True))["automountServiceAccountToken"] is True


def test_filling_in_twice_changes_nothing_more_and_the_template_stays_as_it_was() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec()}
    before = {"metadata": {"labels": {"a": "b"}}, "spec": spec()}
    once = pod_security_defaults.filled(template)
    assert pod_security_defaults.filled(once) == once
    assert template == before


def test_a_pod_of_windows_has_what_windows_knows() -> None:
    made = pod_security_defaults.filled_spec(spec(os={"name": "windows"}))
    assert made["securityContext"] == {"runAsNonRoot": True}
    assert "securityContext" not in made["containers"][0]
