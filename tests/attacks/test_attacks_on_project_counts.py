"""What a user must not achieve: to fill the region with projects, each of which has limits of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attacks.test_attacks_on_limits import deleting_first
from gateway.served_gateway import Running, running

from pincompute.api.labels import CREATED_BY
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS
from pincompute.gateway.gateway_settings import AccessSettings, LimitSettings
from pincompute.gateway.workloads.object_writer import ObjectWriter

PATH = "/v1/projects"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    """A user may have two projects."""
    roles = {"admin": ("root",), "project-creator": ("carl", "cora")}
    changes: dict[str, Any] = {"access": AccessSettings(platform_roles=roles), "limits": LimitSettings(projects_per_user=2)}
    async with running(tmp_path, **changes) as found:
        yield found


async def create(gateway: Running, caller: str, name: str, **fields: Any) -> tuple[int, Any]:
    status, body, _ = await gateway.ask(caller, "POST", PATH, {"name": name, **fields})
    return status, body


async def test_one_user_creates_a_bounded_number_of_projects(gateway: Running) -> None:
    answers = await asyncio.gather(*(create(gateway, "carl", f"p{n}") for n in range(8)))
    assert sorted(status for status, _ in answers) == [201, 201, *[403] * 6]
    refused = next(body for status, body in answers if status == 403)
    assert (refused["code"], refused["errors"][0]["field"]) == ("limit-exceeded", "name")
    assert "limits.projectsPerUser" in refused["remedy"]
    assert (await create(gateway, "cora", "hers"))[0] == 201


async def test_who_names_another_owner_or_uses_a_token_is_still_its_creator(gateway: Running) -> None:
    """And fills nobody else's count."""
    owners = [{"name": "cora", "role": "owner"}]
    assert (await create(gateway, "carl", "p0", members=owners))[0] == 201
    token = await gateway.token("carl")
    assert (await gateway.send("POST", PATH, {"name": "p1"}, token)).status == 201
    assert (await gateway.send("POST", PATH, {"name": "p2"}, token)).status == 403
    assert (await create(gateway, "carl", "p2", members=owners))[0] == 403
    assert (await create(gateway, "cora", "hers"))[0] == 201


async def test_a_dry_run_counts_nothing_and_a_deleted_project_makes_room(gateway: Running) -> None:
    for _ in range(3):
        assert (await gateway.ask("carl", "POST", f"{PATH}?dryRun=true", {"name": "p0"}))[0] == 200
    assert [(await create(gateway, "carl", name))[0] for name in ("p0", "p1", "p2")] == [201, 201, 403]
    assert (await create(gateway, "carl", "p0"))[1]["code"] == "already-exists"
    assert (await gateway.ask("carl", "DELETE", f"{PATH}/p0"))[0] == 202
    assert (await create(gateway, "carl", "p2"))[0] == 201


async def test_a_name_that_becomes_free_during_the_request_counts(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(await create(gateway, "carl", name))[0] for name in ("p0", "p1")] == [201, 201]
    assert (await create(gateway, "cora", "hers"))[0] == 201
    late = deleting_first(gateway, PROJECTS, Key("", "hers"))
    monkeypatch.setattr(ObjectWriter, "_create", late(ObjectWriter._create))
    monkeypatch.setattr(ObjectWriter, "_found", late(ObjectWriter._found))
    assert (await create(gateway, "carl", "hers"))[0] == 403


async def test_an_administrator_creates_as_many_as_they_like(gateway: Running) -> None:
    assert [(await create(gateway, "root", f"p{n}"))[0] for n in range(4)] == [201] * 4


async def test_nobody_writes_who_created_a_project(gateway: Running) -> None:
    assert (await create(gateway, "carl", "p0", annotations={CREATED_BY: "cora"}))[0] in (201, 422)
    assert (await gateway.ask("carl", "PATCH", f"{PATH}/p0", {"annotations": {CREATED_BY: "cora"}}))[0] in (200, 404, 422)
    left = gateway.host.store.list(PROJECTS).items
    assert {obj["metadata"]["annotations"][CREATED_BY] for obj in left if obj["metadata"]["name"] == "p0"} <= {"carl"}
