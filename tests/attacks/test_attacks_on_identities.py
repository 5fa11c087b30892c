"""What somebody with few rights must not get: more rights, another's name, or a right that outlives what it came from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway.served_gateway import Running, running

from pincompute.api.projects import PROJECTS, ProjectSpec
from pincompute.gateway.access import object_permissions
from pincompute.gateway.gateway_settings import AccessSettings, RoleRule

SHOP = "/v1/projects/shop"
MALLORY = {"name": "mallory", "role": "owner"}
SOVEREIGN = {"name": "mallory", "role": "sovereign"}  # a role of this region with more permissions than an owner's
ACCESS = AccessSettings(
    platform_roles={"admin": ("root",), "project-creator": ("carl",)},
    custom_roles={
        "describer": (RoleRule(("projects",), ("get", "update")),),
        "sovereign": (RoleRule(("*",), ("*",)),),
    },
)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, access=ACCESS) as found:
        yield found


async def send(gateway: Running, name: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """As the user of that name logs in."""
    answer = await gateway.send(method, path, body, gateway.issuer.token(name))
    return answer.status, answer.text


async def members(gateway: Running, project: str = "shop") -> dict[str, str]:
    _, found, _ = await gateway.ask("root", "GET", f"/v1/projects/{project}/members")
    return {member["name"]: member["role"] for member in found["items"]}


def resource(spec: Any, name: str = "shop") -> Any:
    return {"apiVersion": PROJECTS.api_version, "kind": "Project", "metadata": {"name": name}, "spec": spec}


ADDED = [{"name": "alice", "role": "owner"}, MALLORY]
WRITES: dict[str, tuple[str, Any, Any]] = {
    "a patch below advanced": ("PATCH", {"advanced": {"members": [MALLORY]}}, {"description": "new"}),
    "a patch": ("PATCH", {"members": ADDED}, {"description": "new"}),
    "a replacement": ("PUT", {"members": ADDED}, {"description": "new"}),
    "a replacement below advanced": ("PUT", {"advanced": {"members": ADDED}}, {"description": "new"}),
    "a whole resource": ("PUT", resource({"members": ADDED}), resource({"description": "new"})),
    "a level of Pod Security": ("PATCH", {"advanced": {"podSecurity": {"level": "privileged"}}}, {"description": "new"}),
}


@pytest.mark.parametrize(("method", "forbidden", "harmless"), WRITES.values(), ids=WRITES.keys())
async def test_who_may_describe_a_project_gives_nobody_a_right(gateway: Running, method: str, forbidden: Any, harmless: Any):
    assert (await send(gateway, "alice", "POST", f"{SHOP}/members", {"name": "desi", "role": "describer"}))[0] == 201
    before = await members(gateway)
    status, text = await send(gateway, "desi", method, SHOP, forbidden)
    assert status in (403, 422), text
    assert (await send(gateway, "desi", method, SHOP, harmless))[0] == 200
    assert await members(gateway) == before


@pytest.mark.parametrize(
    ("method", "tail", "body"), [("POST", "", SOVEREIGN), ("PUT", "/mallory", {"role": "sovereign"})], ids=["add", "set"]
)
async def test_an_owner_gives_nobody_more_than_they_have(gateway: Running, method: str, tail: str, body: Any):
    status, text = await send(gateway, "alice", method, f"{SHOP}/members{tail}", body)
    assert (status, "nobody can grant more than they have" in text) == (403, True), text
    assert (await send(gateway, "alice", method, f"{SHOP}/members{tail}", body | {"role": "owner"}))[0] in (200, 201)
    assert (await members(gateway))["mallory"] == "owner"


FOUNDED = {
    "members": lambda name, member: {"name": name, "members": [member]},
    "advanced": lambda name, member: {"name": name, "advanced": {"members": [member]}},
    "a whole resource": lambda name, member: resource({"members": [member]}, name),
}


@pytest.mark.parametrize("said", FOUNDED.values(), ids=FOUNDED.keys())
async def test_who_creates_a_project_gives_nobody_more_than_an_owner_has(gateway: Running, said: Any):
    status, text = await send(gateway, "carl", "POST", "/v1/projects", said("lab", SOVEREIGN))
    assert (status, "nobody can grant more" in text) == (403, True), text
    status, text = await send(gateway, "carl", "POST", "/v1/projects", said("lab", {"name": "vera", "role": "viewer"}))
    assert status == 201, text
    assert await members(gateway, "lab") == {"carl": "owner", "vera": "viewer"}


async def test_a_token_that_only_creates_projects_makes_nobody_else_a_member(gateway: Running):
    asked = {"name": "founding", "project": "*", "operations": ["projects:create"]}
    _, made = await send(gateway, "carl", "POST", "/v1/tokens", asked)
    secret = made.split('"secret":"')[1].split('"')[0]
    answer = await gateway.send("POST", "/v1/projects", {"name": "lab", "members": [MALLORY]}, secret)
    assert (answer.status, "nobody can grant more" in answer.text) == (403, True), answer.text
    assert (await gateway.send("POST", "/v1/projects", {"name": "lab"}, secret)).status == 201
    assert await members(gateway, "lab") == {"carl": "owner"}


def test_every_field_of_a_project_says_who_may_change_it():
    """A field that nobody thought of is for administrators; this test asks you to think of it."""
    assert set(ProjectSpec.__struct_encode_fields__) <= set(object_permissions.FIELDS["projects"])
