"""What a developer or an owner must not achieve: that the pods of their project may do more on their nodes (M-97)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway_workloads.workload_gateway import Running, running

from pincompute.gateway.access import Roles
from pincompute.gateway.access.permissions import PermissionUniverse
from pincompute.gateway.settings import AccessSettings, RoleRule

PROJECT = "/v1/projects/shop"
BASELINE = {"level": "baseline"}
RESOURCE = {"apiVersion": "pincompute.io/v1alpha1", "kind": "Project", "metadata": {"name": "shop"}}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as found:
        yield found


WAYS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    # method, path, what lowers the level, the same request without it
    "the field": ("PATCH", PROJECT, {"podSecurity": BASELINE}, {"description": "sells"}),
    "advanced": (
        "PATCH",
        PROJECT,
        {"advanced": {"podSecurity": BASELINE}},
        {"advanced": {}},
    ),
    "a whole document": ("PUT", PROJECT, {"podSecurity": BASELINE}, {"description": "sells"}),
    "advanced in a whole document": ("PUT", PROJECT, {"advanced": {"podSecurity": BASELINE}}, {"advanced": {}}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_an_owner_does_not_lower_the_level(gateway: Running, way: str) -> None:
    method, path, lowering, harmless = WAYS[way]
    status, problem, _ = await gateway.ask("alice", method, path, lowering)
    assert (status, problem["code"]) == (403, "forbidden"), problem
    assert "podSecurity" in problem["detail"]
    assert problem["remedy"]
    assert "podSecurity" not in (await gateway.ask("alice", "GET", PROJECT))[1]
    assert (await gateway.ask("alice", method, path, harmless))[0] == 200


@pytest.mark.parametrize("caller", ["alice", "olga", "dan", "vera"])
async def test_no_member_uses_the_administrators_way(gateway: Running, caller: str) -> None:
    assert (await gateway.ask(caller, "PUT", f"{PROJECT}/pod-security", BASELINE))[0] == 403
    assert (await gateway.ask("root", "PUT", f"{PROJECT}/pod-security", BASELINE))[0] == 200


@pytest.mark.parametrize("field", ["podSecurity", "advanced"])
async def test_who_founds_a_project_does_not_lower_it(gateway: Running, field: str) -> None:
    body = {"podSecurity": BASELINE} if field == "podSecurity" else {"advanced": {"podSecurity": BASELINE}}
    status, problem, _ = await gateway.ask("carl", "POST", "/v1/projects", {"name": "lab", **body})
    assert (status, problem["code"]) == (403, "forbidden")
    assert (await gateway.ask("carl", "POST", "/v1/projects", {"name": "lab"}))[0] == 201


async def test_an_owner_does_not_prolong_what_an_administrator_lowered(gateway: Running) -> None:
    granted = {"level": "baseline", "until": "2999-01-01T00:00:00Z"}
    assert (await gateway.ask("root", "PUT", f"{PROJECT}/pod-security", granted))[0] == 200
    for security in ({**granted, "until": "2999-01-02T00:00:00Z"}, {"until": None}, {**granted, "level": "privileged"}):
        assert (await gateway.ask("alice", "PATCH", PROJECT, {"podSecurity": security}))[0] in (403, 422)
    assert (await gateway.ask("alice", "PATCH", PROJECT, {"podSecurity": granted, "description": "sells"}))[0] == 200


def test_a_role_of_the_settings_that_allows_everything_in_a_project_does_not_allow_this() -> None:
    everything = RoleRule(resources=("*",), verbs=("*",))
    roles = Roles(AccessSettings(custom_roles={"boss": (everything,)}))
    assert not roles.of_project("boss") & PermissionUniverse().of(("pod-security",), ("*",))
    assert ("projects", "update") in roles.of_project("boss")
