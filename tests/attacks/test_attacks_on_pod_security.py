"""What a developer or an owner must not achieve: that the pods of their project may do more on their nodes (M-97)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway_workloads.workload_gateway import Running, running

PROJECT = "/v1/projects/shop"
ADMIN = "/v1/admin/projects/shop/pod-security"
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
    assert (await gateway.ask(caller, "PUT", ADMIN, BASELINE))[0] == 403
    assert (await gateway.ask("root", "PUT", ADMIN, BASELINE))[0] == 200


async def test_an_administrator_does_not_lower_it_by_the_way(gateway: Running) -> None:
    """The audit log would say only that the project was changed."""
    status, problem, _ = await gateway.ask("root", "PATCH", PROJECT, {"podSecurity": BASELINE})
    assert (status, "pin admin pod-security" in problem["remedy"]) == (403, True)
    assert (await gateway.ask("root", "PATCH", PROJECT, {"description": "sells"}))[0] == 200


@pytest.mark.parametrize("field", ["podSecurity", "advanced"])
async def test_who_creates_a_project_does_not_lower_it(gateway: Running, field: str) -> None:
    body = {"podSecurity": BASELINE} if field == "podSecurity" else {"advanced": {"podSecurity": BASELINE}}
    status, problem, _ = await gateway.ask("carl", "POST", "/v1/projects", {"name": "lab", **body})
    assert (status, problem["code"]) == (403, "forbidden")
    assert (await gateway.ask("carl", "POST", "/v1/projects", {"name": "lab"}))[0] == 201


async def test_an_owner_does_not_prolong_what_an_administrator_lowered(gateway: Running) -> None:
    granted = {"level": "baseline", "until": "2999-01-01T00:00:00Z"}
    assert (await gateway.ask("root", "PUT", ADMIN, granted))[0] == 200
    for security in ({**granted, "until": "2999-01-02T00:00:00Z"}, {"until": None}, {**granted, "level": "privileged"}):
        assert (await gateway.ask("alice", "PATCH", PROJECT, {"podSecurity": security}))[0] in (403, 422)
    assert (await gateway.ask("alice", "PATCH", PROJECT, {"podSecurity": granted, "description": "sells"}))[0] == 200
