"""Every operation x every kind of caller x every kind of place, against a table written by hand (OWASP API1 and API5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from access_fixtures import World, project, user
from msgspec.structs import replace

from pincompute.gateway.access import TokenScope
from pincompute.gateway.access.permissions import RESOURCES, VERBS
from pincompute.gateway.access.service_tokens import caller
from pincompute.gateway.call_context import ANONYMOUS, Caller, Operation

TABLE: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(Path(__file__).with_name("matrix.yaml").read_text())
PLACES = {"member": "demo", "other": "other", "absent": "nothing", "region": ""}

PEOPLE: dict[str, Caller] = {
    "anonymous": ANONYMOUS,
    "expired owner": Caller("olga", expires=0.0),
    "user without a role": user("mallory", "somegroup"),
    "user with a role that is not defined": user("nick"),
    "viewer": user("vera"),
    "viewer through a group": user("gerd", "readers"),
    "user whose name is that of a viewers' group": user("readers"),
    "developer": user("dev"),
    "operator": user("op"),
    "owner": user("olga"),
    "custom role restarter": user("rita"),
    "platform admin": user("anna", "admins"),
    "platform auditor": user("audrey"),
    "platform viewer": user("wim", "watchers"),
    "platform operator": user("oncall"),
    "project creator": user("carl", "staff"),
    "platform part without a role": Caller("pincompute:operator", kind="platform"),
}


async def _revoked(world: World) -> Caller:
    found = await world.service(user("olga"), TokenScope("demo", role="owner"))
    await world.tokens.revoke(found.token_id)
    return found


ADMIN = user("anna", "admins")
TOKENS: dict[str, Callable[[World], Awaitable[Caller]]] = {
    "token of an owner, as developer": lambda world: world.service(user("olga"), TokenScope("demo", role="developer")),
    "token of a viewer, as owner": lambda world: world.service(user("vera"), TokenScope("demo", role="owner")),
    "token of an owner, for two operations": lambda world: world.service(
        user("olga"), TokenScope("demo", operations=("apps:get", "apps:restart"))
    ),
    "token of an owner, for another project": lambda world: world.service(user("olga"), TokenScope("other", role="owner")),
    "token of an admin, as viewer everywhere": lambda world: world.service(ADMIN, TokenScope("*", role="viewer")),
    "token of an admin, for everything": lambda world: world.service(ADMIN, TokenScope("*", operations=("*:*",))),
    "token of a service account": lambda world: world.service(user("olga"), TokenScope("demo", role="owner"), "service:ci"),
    "token that was revoked": _revoked,
}


def test_the_table_knows_every_kind_of_caller() -> None:
    assert set(TABLE) == {*PEOPLE, *TOKENS}
    assert all(set(places) == set(PLACES) for places in TABLE.values())
    named = {resource for places in TABLE.values() for place in places.values() for resource in place} - {"otherwise"}
    assert named <= set(RESOURCES)


@pytest.mark.parametrize("kind", TABLE)
@pytest.mark.parametrize("place", PLACES)
async def test_matrix(kind: str, place: str) -> None:
    world = World()
    caller = PEOPLE[kind] if kind in PEOPLE else await TOKENS[kind](world)
    wrong = {}
    for resource in RESOURCES:
        for verb in VERBS:
            found = world.authorizer.decide(caller, Operation(resource, verb), PLACES[place], "hello")
            got = "allowed" if found.allowed else "hidden" if found.hidden else "denied"
            wanted = _wanted(TABLE[kind][place], resource, verb)
            if got != wanted:
                wrong[f"{resource}:{verb}"] = f"{got}, expected {wanted}"
    assert wrong == {}


def _wanted(row: dict[str, Any], resource: str, verb: str) -> str:
    if resource in row:
        if verb in row[resource].split():
            return "allowed"
        return "denied" if row["otherwise"] == "allowed" else row["otherwise"]
    return row["otherwise"]


@pytest.mark.parametrize(
    ("caller", "place", "why", "remedy"),
    [
        ("platform viewer", "demo", "your role is viewer", ""),
        ("user without a role", "", "you have no role that allows it", ""),
        (
            "token of an admin, as viewer everywhere",
            "",
            "this token is limited to viewer",
            "use your own login instead of the token",
        ),
        (
            "token of an owner, for two operations",
            "demo",
            "this token is limited to the operations apps:get, apps:restart in project demo",
            "create a token with `--role owner`, or use your own login instead of the token",
        ),
        ("token of a viewer, as owner", "demo", "your role is viewer", ""),
    ],
)
async def test_a_denial_names_its_cause(caller: str, place: str, why: str, remedy: str) -> None:
    """A token's limit is the cause only where its subject has the permission."""
    world = World()
    found = world.authorizer.decide(
        PEOPLE.get(caller) or await TOKENS[caller](world), Operation("projects", "update" if place else "create"), place
    )
    assert (found.allowed, found.why, found.remedy) == (False, why, remedy)


async def test_a_token_of_a_former_project_opens_nothing_in_a_later_one_of_its_name() -> None:
    """Its owner may be a member of both: the token was made for the former one alone, whatever the clocks say."""
    world, reads = World(), Operation("apps", "list")
    token = await world.service(user("olga"), TokenScope("demo", role="owner"))
    assert world.authorizer.decide(token, reads, "demo").allowed
    again = project("demo", uid="later", olga="owner")
    slow, fast = (world.time.now + timedelta(seconds=seconds) for seconds in (2, -2))
    for founded in (slow, fast):
        world.projects["demo"] = replace(again, metadata=replace(again.metadata, creation_timestamp=founded))
        assert world.authorizer.decide(user("olga"), reads, "demo").allowed
        later = await world.service(user("olga"), TokenScope("demo", role="owner"))
        assert world.authorizer.decide(later, reads, "demo").allowed
        assert not world.authorizer.decide(token, reads, "demo").allowed


async def test_a_token_of_an_earlier_version_is_bound_to_its_project_by_time() -> None:
    world, reads = World(), Operation("apps", "list")
    _, made = await world.tokens.create("t", user("olga"), "olga", TokenScope("demo", role="owner"), timedelta(days=1))
    assert world.authorizer.decide(caller(made), reads, "demo").allowed
    again = project("demo", uid="later", olga="owner")
    founded = world.time.now + timedelta(seconds=60)
    world.projects["demo"] = replace(again, metadata=replace(again.metadata, creation_timestamp=founded))
    assert not world.authorizer.decide(caller(made), reads, "demo").allowed
